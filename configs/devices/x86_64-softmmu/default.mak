# SPDX-License-Identifier: GPL-2.0-or-later
#
# The profile that the remote one is stripped from: all of it, plus a board, what drives a board,
# and the proxy object. A program of the build tree, for tests: the other end of the socket.

CONFIG_TCG=n

CONFIG_PC=y
CONFIG_QTEST=y
CONFIG_KVM=y
CONFIG_PCI_PROXY=y

CONFIG_REMOTE_MACHINE=y
CONFIG_MPQEMU=y
CONFIG_VFIO_USER=y

CONFIG_LSI_SCSI_PCI=y
CONFIG_LSI53C810=y
CONFIG_SCSI_HD=y
CONFIG_SCSI_CD=y
CONFIG_SCSI_BLOCK=y
CONFIG_SCSI_GENERIC=y
CONFIG_PCI_TESTDEV=n

CONFIG_BLOCK_FILE=y
CONFIG_BLOCK_RAW=y
CONFIG_BLOCK_QCOW2=y
CONFIG_IO_URING=y
CONFIG_BLOCK_NBD=y
CONFIG_CODEC_ZLIB=y
CONFIG_CODEC_ZSTD=y

CONFIG_SANDBOX=y
CONFIG_SANDBOX_TEST=n
