/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client may send to the vfio-user server: see fuzz.h. */
#include "fuzz.h"
#include "remote/vfio-user.h"

int LLVMFuzzerInitialize(int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
    guest_memory_sigbus_init();
    return !log_set_file("/dev/null", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    VfioUserServer *server;
    RemoteMachine *m;
    Fuzz fuzz;
    int sock = fuzz_init(&fuzz);
    PciDev *pci = &fuzz.fake->pci;

    pci_add_capability(pci, PCI_CAP_ID_MSI, 0x50, 14);
    pci->config[0x52] = 2 << 1; /* 4 vectors */
    pci_add_capability(pci, PCI_CAP_ID_MSIX, 0x60, 12);
    pci->config[0x62] = 8 - 1;
    m = machine_new_messages("fuzz", fuzz.loop, pci, NULL);
    server = vfio_user_server_new(m, sock, fuzz_ended, &fuzz);
    g_assert_nonnull(server);
    fuzz_run(&fuzz, data, size);
    vfio_user_server_free(server);
    machine_free(m);
    fuzz_fini(&fuzz);
    return 0;
}
