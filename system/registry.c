/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this target is made of: the types that its Kconfig profile selects, as plain arrays. The
 * only file that looks at CONFIG_ symbols, and the only one compiled once for each target; all
 * others are handed these arrays at start and know no type by name.
 */
#include "system/registry.h"
#include "accel/accel.h"
#include "block/drivers.h"
#include "build-stamp.h"
#include "config-host.h"
#include "config.h"
#include "hw/core/guest-memory.h"
#include "hw/misc/pci-testdev.h"
#include "hw/proxy/pci-proxy-dev.h"
#include "hw/scsi/lsi.h"
#include "hw/scsi/scsi-disk.h"
#include "monitor/commands.h"
#include "monitor/hmp.h"
#include "remote/iohub.h"
#include "remote/link.h"
#include "system/monitors.h"
#include "system/sandbox.h"
#include "system/socket.h"

static const DeviceType *const devices[] = {
#ifdef CONFIG_LSI_SCSI_PCI
    &lsi53c895a_type,
#endif
#ifdef CONFIG_LSI53C810
    &lsi53c810_type,
    &lsi53c810a_type,
#endif
#ifdef CONFIG_SCSI_HD
    &scsi_hd_type,
#endif
#ifdef CONFIG_SCSI_CD
    &scsi_cd_type,
#endif
#ifdef CONFIG_SCSI_BLOCK
    &scsi_block_type,
#endif
#ifdef CONFIG_SCSI_GENERIC
    &scsi_generic_type,
#endif
#ifdef CONFIG_PCI_TESTDEV
    &pci_testdev_type,
#endif
#ifdef CONFIG_PCI_PROXY
    &pci_proxy_dev_type,
#endif
    NULL
};

static const BlockDriver *const block_drivers[] = {
#ifdef CONFIG_BLOCK_FILE
    &block_file_driver,
    &block_host_device_driver,
#endif
#ifdef CONFIG_BLOCK_RAW
    &block_raw_driver,
#endif
#ifdef CONFIG_BLOCK_QCOW2
    &block_qcow2_driver,
#endif
#ifdef CONFIG_BLKDEBUG
    &block_blkdebug_driver,
#endif
#ifdef CONFIG_BLKLOGWRITES
    &block_blklogwrites_driver,
#endif
#ifdef CONFIG_BLOCK_NULL
    &block_null_co_driver,
#endif
#ifdef CONFIG_BLOCK_THROTTLE
    &block_throttle_driver,
#endif
#ifdef CONFIG_BLOCK_COPY_ON_READ
    &block_copy_on_read_driver,
#endif
    NULL
};

static const ModuleDesc modules[] = {
#ifdef CONFIG_BLOCK_NBD
    { .kind = "block", .name = "nbd", .help = "exports of NBD servers (libnbd)" },
#endif
#ifdef CONFIG_BLOCK_RBD
    { .kind = "block", .name = "rbd", .help = "images in a Ceph cluster (librbd)" },
#endif
#ifdef CONFIG_CODEC_ZLIB
    { .kind = "codec", .name = "zlib", .help = "reads compressed images (libz)" },
#endif
#ifdef CONFIG_CODEC_ZSTD
    { .kind = "codec", .name = "zstd", .help = "reads compressed images (libzstd)" },
#endif
    { .name = NULL }
};

static const BlockEngineType *const block_engines[] = {
#ifdef CONFIG_IO_URING
    &block_engine_io_uring,
#endif
#ifdef CONFIG_BLOCK_FILE
    &block_engine_threads,
#endif
    NULL
};

static const MachineType *const machines[] = {
#ifdef CONFIG_PC
    &pc_machine_type,
#endif
#ifdef CONFIG_REMOTE_MACHINE
    &remote_machine_type,
#endif
    NULL
};

static const ObjectType *const objects[] = {
#ifdef CONFIG_MPQEMU
    &remote_object_type,
#endif
#ifdef CONFIG_VFIO_USER
    &vfio_user_object_type,
#endif
#ifdef CONFIG_PC
    &memory_backend_type,
#endif
#ifdef CONFIG_BLOCK_THROTTLE
    &throttle_group_type,
#endif
#ifdef CONFIG_BLOCK_NBD
    &tls_creds_x509_type,
    &tls_creds_psk_type,
#endif
#ifdef CONFIG_SANDBOX_TEST
    &sandbox_test_type,
#endif
    NULL
};

static const AccelType *const accels[] = {
#ifdef CONFIG_KVM
    &accel_kvm_type,
#endif
#ifdef CONFIG_QTEST
    &accel_qtest_type,
#endif
    NULL
};

static const SandboxCalls *const sandbox[] = {
    &sandbox_base,
    &fd_sandbox,
    &loop_sandbox,
    &listener_sandbox,
    &removal_sandbox,
#ifdef CONFIG_REMOTE_MACHINE
    &guest_memory_sandbox,
    &iohub_sandbox,
    &link_sandbox,
#endif
#ifdef CONFIG_BLOCK_HOLES
    &file_holes_sandbox,
#endif
#ifdef CONFIG_BLOCK_FILE
    &file_io_sandbox,
    &image_lock_sandbox,
#endif
#ifdef CONFIG_BLOCK_QCOW2
    &qcow2_sandbox,
#endif
#ifdef CONFIG_IO_URING
    &io_uring_sandbox,
#endif
#ifdef CONFIG_SCSI_PASSTHROUGH
    &scsi_sg_sandbox,
#endif
#ifdef CONFIG_QMP
    &monitor_sandbox,
#endif
    NULL
};

#ifdef CONFIG_QMP
static const QmpCommand *const qmp_commands[] = {
    qmp_misc_commands,
    qmp_system_commands,
    qmp_remote_commands,
    qmp_block_commands,
#ifdef CONFIG_SCSI_CD
    qmp_medium_commands,
#endif
    qmp_pci_commands,
    qmp_device_commands,
    qmp_object_commands,
    qmp_qom_commands,
    qmp_fd_commands,
#ifdef CONFIG_HMP
    qmp_hmp_commands,
#endif
    NULL
};

static const QmpEvent *const qmp_events[] = {
    qmp_system_events, qmp_remote_events, qmp_device_events, qmp_block_events,
#ifdef CONFIG_SCSI_CD
    qmp_medium_events,
#endif
    NULL
};
#endif

#ifdef CONFIG_HMP
static const HmpCommand *const hmp_commands[] = {
    hmp_common_commands,
#ifdef CONFIG_SCSI_CD
    hmp_medium_commands,
#endif
    hmp_info_commands, NULL
};
#endif

const Registry target_registry = {
    .program = TARGET_PROGRAM,
    .version = PROJECT_VERSION,
    .profile = TARGET_NAME ", " TARGET_PROFILE,
    .devices = devices,
    .block_drivers = block_drivers,
    .block_engines = block_engines,
    .modules = modules,
    .stamp = BUILD_STAMP,
    .machines = machines,
    .objects = objects,
    .accels = accels,
    .sandbox = sandbox,
#ifdef CONFIG_SANDBOX
    .sandbox_filter = &sandbox_filter_seccomp,
#endif
#ifdef CONFIG_QMP
    .monitor = &monitor_type,
    .qmp = { .commands = qmp_commands, .events = qmp_events },
#endif
#ifdef CONFIG_HMP
    .hmp = hmp_commands,
#endif
};
