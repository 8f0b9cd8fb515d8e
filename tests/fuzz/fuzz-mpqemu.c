/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a client may send to the mpqemu server: see fuzz.h. */
#include "fuzz.h"
#include "remote/mpqemu.h"

int LLVMFuzzerInitialize(int *argc G_GNUC_UNUSED, char ***argv G_GNUC_UNUSED)
{
    guest_memory_sigbus_init();
    return !log_set_file("/dev/null", NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    MpqemuServer *server;
    RemoteMachine *m;
    Fuzz fuzz;
    int sock = fuzz_init(&fuzz);

    m = machine_new("fuzz", fuzz.loop, &fuzz.fake->pci, NULL);
    server = mpqemu_server_new(m, sock, fuzz_ended, &fuzz);
    g_assert_nonnull(server);
    fuzz_run(&fuzz, data, size);
    mpqemu_server_free(server);
    machine_free(m);
    fuzz_fini(&fuzz);
    return 0;
}
