# SPDX-License-Identifier: GPL-2.0-or-later
#
# The default profile, plus a PCI function that does on command what devices do, and an object that
# does what the sandbox forbids. For the project's own tests: never shipped.

# No vCPU, no board and nothing that drives one in this process.
CONFIG_TCG=n
CONFIG_KVM=n
CONFIG_PC=n
CONFIG_QTEST=n
CONFIG_PCI_PROXY=n

CONFIG_REMOTE_MACHINE=y
CONFIG_MPQEMU=y
CONFIG_VFIO_USER=y

CONFIG_LSI_SCSI_PCI=y
CONFIG_LSI53C810=y
CONFIG_SCSI_HD=y
CONFIG_SCSI_CD=y
CONFIG_SCSI_BLOCK=y
CONFIG_SCSI_GENERIC=y
CONFIG_PCI_TESTDEV=y

CONFIG_BLOCK_FILE=y
CONFIG_BLOCK_RAW=y
CONFIG_BLOCK_QCOW2=y
CONFIG_IO_URING=y
CONFIG_BLOCK_NULL=y
CONFIG_BLOCK_THROTTLE=y
CONFIG_BLKDEBUG=y
CONFIG_BLOCK_NBD=y
CONFIG_CODEC_ZLIB=y
CONFIG_CODEC_ZSTD=y

CONFIG_SANDBOX=y
CONFIG_SANDBOX_TEST=y
