# SPDX-License-Identifier: GPL-2.0-or-later
#
# One adapter, disks, raw image files, one protocol, and nothing else: the smallest program that
# serves a virtual machine its disk.

# No vCPU, no board and nothing that drives one in this process.
CONFIG_TCG=n
CONFIG_KVM=n
CONFIG_PC=n
CONFIG_QTEST=n
CONFIG_PCI_PROXY=n

CONFIG_REMOTE_MACHINE=y
CONFIG_MPQEMU=y
CONFIG_VFIO_USER=n

CONFIG_LSI_SCSI_PCI=y
CONFIG_LSI53C810=n
CONFIG_SCSI_HD=y
CONFIG_SCSI_CD=n
CONFIG_PCI_TESTDEV=n

CONFIG_BLOCK_FILE=y
CONFIG_BLOCK_RAW=y
CONFIG_BLOCK_QCOW2=n
CONFIG_IO_URING=n
CONFIG_BLOCK_NBD=n
CONFIG_CODEC_ZLIB=n
CONFIG_CODEC_ZSTD=n

CONFIG_SANDBOX=y
CONFIG_SANDBOX_TEST=n
