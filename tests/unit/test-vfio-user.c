/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vfio-user server and the machine under it: VERSION, what the device is, its regions, DMA
 * maps, reset, and the bad values of every field. Interrupts are test-vfio-user-irqs.c; what is
 * not one message at a time (hang-ups, order, whole sessions) is test-vfio-user-stream.c.
 */
#include "vfu-harness.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- VERSION ---- */

static void put_version(Vfu *v, uint16_t major, uint16_t minor, const void *text, size_t len)
{
    g_autofree uint8_t *payload = g_malloc(sizeof(VfuVersion) + len);
    VfuVersion version = { major, minor };

    memcpy(payload, &version, sizeof(version));
    if (len > 0) {
        memcpy(payload + sizeof(version), text, len);
    }
    vfu_put(v, VFU_VERSION, 0, payload, sizeof(version) + len, NULL, 0);
}

static void check_version_answer(Vfu *v, bool multi)
{
    static const char want[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,"
                               "\"max_data_xfer_size\":1048576,\"max_dma_maps\":8192,"
                               "\"migration\":{\"pgsize\":4096}";

    g_assert_true(vfu_receive(v));
    g_assert_cmphex(v->reply.flags, ==, VFU_TYPE_REPLY);
    g_assert_cmpuint(v->reply.size, <=, 214); /* QEMU 11.1's room */
    g_assert_cmpmem(v->data, sizeof(want) - 1, want, sizeof(want) - 1);
    g_assert_cmpint(v->data[v->len - 1], ==, 0);
    g_assert_cmpint(strstr((char *)v->data + 4, ",\"write_multiple\":true}}") != NULL, ==, multi);
}

static void test_version(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint16_t minor;
        const char *json;
        bool multi;
    } cases[] = {
        { 0, VFU_QEMU_VERSION, true },
        { 1,
          "{\"capabilities\":{\"max_msg_fds\":1,\"max_data_xfer_size\":1048576,"
          "\"migration\":{\"pgsize\":4096}}}",
          false },
        { 0, NULL, false },
        { 0, "{}", false },
        { 0, "{\"capabilities\":{}}", false },
        { 7, "{\"other\":[[1]],\"capabilities\":{\"twin_socket\":true}}", false },
        { 0, "{\"capabilities\":{\"write_multiple\":false}}", false },
        { 0, "{\"a\":\"[[[[[[[[[[[[[\\\"{{{{{{{{{{{\"}", false },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        put_version(v, 0, cases[i].minor, cases[i].json,
                    cases[i].json ? strlen(cases[i].json) + 1 : 0);
        check_version_answer(v, cases[i].multi);
        vfu_ask_error(v, VFU_VERSION, "\0\0\0\0", 4, EINVAL); /* once */
        g_assert_true(vfu_alive(v));
        fd_clear(&v->peer);
        vfu_settle(v);
        vfu_connect(v);
    }
}

static void test_version_bad(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "",
        "x",
        "[]",
        "1",
        "null",
        "{",
        "{\"capabilities\":1}",
        "{\"capabilities\":{\"write_multiple\":1}}",
        "{\"capabilities\":{\"max_msg_fds\":\"8\"}}",
        "{\"capabilities\":{\"max_data_xfer_size\":-1}}",
        "{\"capabilities\":{\"pgsizes\":0.5}}",
        "{\"capabilities\":{\"max_dma_maps\":[]}}",
        "{\"capabilities\":{},\"capabilities\":{}}",
        "[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    g_autofree char *bomb = g_strnfill(VFU_MAX_VERSION, '[');

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        put_version(v, 0, 0, texts[i], strlen(texts[i]) + 1);
        vfu_take_error(v, EINVAL);
    }
    put_version(v, 0, 0, bomb, VFU_MAX_VERSION - 3); /* too long */
    vfu_take_error(v, EINVAL);
    bomb[VFU_MAX_VERSION - 5] = 0;
    put_version(v, 0, 0, bomb, VFU_MAX_VERSION - 4);
    vfu_take_error(v, EINVAL);
    put_version(v, 0, 0, "{}", 2); /* no NUL */
    vfu_take_error(v, EINVAL);
    put_version(v, 0, 0, "{}\0}", 5);
    vfu_take_error(v, EINVAL);
    put_version(v, 1, 0, NULL, 0);
    vfu_take_error(v, EINVAL);
    vfu_ask_error(v, VFU_VERSION, "\0\0", 2, EINVAL);
    put_version(v, 0, 0, NULL, 0);
    check_version_answer(v, false);
    g_assert_true(vfu_alive(v));
}

/* Nothing is done before VERSION. */
static void test_version_first(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t payload[256] = { 0 };

    for (unsigned cmd = 2; cmd < 32; cmd++) {
        vfu_ask_error(v, cmd, payload, sizeof(payload), EINVAL);
    }
    vfu_ask_error(v, 0, NULL, 0, EINVAL);
    g_assert_cmpuint(v->fake->drains, ==, 0);
    vfu_version(v, NULL);
    g_assert_true(vfu_alive(v));
}

/* ---- headers ---- */

static void test_unknown_commands(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const uint16_t cmds[] = { 0, 6, 11, 12, 14, 16, 17, 18, 19, 20, 255, 256, 0xffff };

    for (unsigned i = 0; i < G_N_ELEMENTS(cmds); i++) {
        vfu_ask_error(v, cmds[i], NULL, 0, ENOTSUP);
        vfu_ask_error(v, cmds[i], "12345", 5, ENOTSUP);
        vfu_put(v, cmds[i], VFU_NO_REPLY, NULL, 0, NULL, 0);
        vfu_take_nothing(v);
    }
    g_assert_true(vfu_alive(v));
}

static void test_flags(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { 0, VFU_REGION_CONFIG, 4 };

    for (uint32_t type = 2; type < 16; type++) {
        vfu_put(v, VFU_REGION_READ, type, &access, sizeof(access), NULL, 0);
        vfu_take_error(v, EINVAL);
    }
    for (uint32_t bit = VFU_ERROR; bit; bit <<= 1) {
        vfu_put(v, VFU_REGION_READ, bit, &access, sizeof(access), NULL, 0);
        vfu_take_error(v, EINVAL);
    }
    /* An answer to nothing is not answered, even with room for doubt. */
    vfu_put(v, VFU_REGION_READ, VFU_TYPE_REPLY, &access, sizeof(access), NULL, 0);
    vfu_put(v, VFU_DMA_READ, VFU_TYPE_REPLY | VFU_ERROR, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    g_assert_true(vfu_alive(v));
}

/* Any id is echoed, also one that was used before. */
static void test_ids(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const uint16_t ids[] = { 0, 0, 1, 0xffff, 0x8000, 0xfffe };

    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        v->id = ids[i] - 1;
        g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, 0, 4), ==, FAKE_IDS);
        g_assert_cmpuint(v->reply.id, ==, ids[i]);
    }
}

/* Payloads that are too short are refused, longer ones taken up to a page more. */
static void test_sizes(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        unsigned cmd;
        size_t min, reply;
    } cases[] = {
        { VFU_DEVICE_GET_INFO, 16, 16 },
        { VFU_DEVICE_GET_REGION_INFO, 32, 32 },
        { VFU_DEVICE_GET_IRQ_INFO, 16, 16 },
        { VFU_DEVICE_SET_IRQS, 20, 0 },
        { VFU_DMA_MAP, 32, 0 },
        { VFU_DMA_UNMAP, 24, 24 },
        { VFU_REGION_READ, 16, 17 },
        { VFU_REGION_WRITE, 17, 16 },
        { VFU_REGION_WRITE_MULTI, 8, 8 },
        { VFU_DEVICE_RESET, 0, 0 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        unsigned cmd = cases[i].cmd;
        uint32_t argsz = 64;
        union {
            VfuDmaMap map;
            VfuDmaUnmap unmap;
            VfuIrqSet irqs;
            VfuRegionAccess access;
            uint8_t bytes[8192];
        } u = { .bytes = { 0 } };

        if (cmd == VFU_DMA_MAP) {
            u.map = (VfuDmaMap){ argsz, VFU_DMA_MAP_READ, 0, PAGE, PAGE };
        } else if (cmd == VFU_DMA_UNMAP) {
            u.unmap = (VfuDmaUnmap){ argsz, 0, PAGE, PAGE };
        } else if (cmd == VFU_DEVICE_SET_IRQS) {
            u.irqs = (VfuIrqSet){ argsz, VFU_IRQ_DATA_NONE | VFU_IRQ_TRIGGER, 0, 0, 0 };
        } else if (cmd == VFU_REGION_READ || cmd == VFU_REGION_WRITE) {
            u.access = (VfuRegionAccess){ 0x40, VFU_REGION_CONFIG, 1 };
        } else if (cmd != VFU_REGION_WRITE_MULTI) {
            memcpy(u.bytes, &argsz, sizeof(argsz));
        }
        for (size_t len = 0; len < cases[i].min; len++) {
            vfu_ask_error(v, cmd, u.bytes, len, EINVAL);
        }
        vfu_ask(v, cmd, u.bytes, cases[i].min, cases[i].reply);
        if (cmd != VFU_DMA_MAP && cmd != VFU_DMA_UNMAP) {
            vfu_ask(v, cmd, u.bytes, cases[i].min + 4000, cases[i].reply);
        }
        if (cmd != VFU_REGION_WRITE && cmd != VFU_REGION_WRITE_MULTI) {
            vfu_ask_error(v, cmd, u.bytes, 8192, EINVAL);
        }
    }
    g_assert_true(vfu_alive(v));
}

/* argsz below the struct's size, for each that has one. */
static void test_argsz(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        unsigned cmd;
        size_t size;
    } cases[] = {
        { VFU_DEVICE_GET_INFO, 16 },
        { VFU_DEVICE_GET_REGION_INFO, 32 },
        { VFU_DEVICE_GET_IRQ_INFO, 16 },
        { VFU_DEVICE_SET_IRQS, 20 },
        { VFU_DMA_MAP, 32 },
        { VFU_DMA_UNMAP, 24 },
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (uint32_t argsz = 0; argsz < cases[i].size; argsz++) {
            uint8_t payload[32] = { 0 };

            memcpy(payload, &argsz, sizeof(argsz));
            vfu_ask_error(v, cases[i].cmd, payload, cases[i].size, EINVAL);
        }
    }
}

/* Descriptors where none belong are closed; more than announced are refused. */
static void test_surplus_fds(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { 0, VFU_REGION_CONFIG, 4 };
    AUTO_FD fd = eventfd(0, EFD_CLOEXEC);
    unsigned before = vfu_open_fds();
    int fds[32];

    for (unsigned i = 0; i < 32; i++) {
        fds[i] = fd;
    }
    for (unsigned n = 1; n <= 32; n++) {
        vfu_put(v, VFU_REGION_READ, 0, &access, sizeof(access), fds, n);
        if (n <= VFU_MAX_MSG_FDS) {
            vfu_take(v, sizeof(access) + 4);
        } else {
            vfu_take_error(v, EINVAL);
        }
        g_assert_cmpuint(vfu_open_fds(), ==, before);
    }
    g_assert_true(vfu_alive(v));
}

/* ---- what there is ---- */

static void test_info(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDeviceInfo info = { .argsz = 16 };

    for (unsigned i = 0; i < 3; i++) {
        const VfuDeviceInfo *got = vfu_ask(v, VFU_DEVICE_GET_INFO, &info, sizeof(info), 16);

        g_assert_cmpuint(got->argsz, ==, 16);
        g_assert_cmphex(got->flags, ==, VFU_DEVICE_RESETS | VFU_DEVICE_PCI);
        g_assert_cmpuint(got->num_regions, ==, 9);
        g_assert_cmpuint(got->num_irqs, ==, 5);
        info.argsz = i ? UINT32_MAX : 32; /* cloud-hypervisor: 32 */
    }
}

static void check_region(Vfu *v, uint32_t index, uint64_t size)
{
    VfuRegionInfo info = { .argsz = 32, .index = index, .flags = 0xff, .size = 77, .offset = 7 };
    const VfuRegionInfo *got;

    got = vfu_ask(v, VFU_DEVICE_GET_REGION_INFO, &info, sizeof(info), sizeof(info));
    g_assert_cmpuint(got->argsz, ==, 32);
    g_assert_cmpuint(got->index, ==, index);
    g_assert_cmpuint(got->size, ==, size);
    g_assert_cmphex(got->flags, ==, size ? VFU_REGION_F_READ | VFU_REGION_F_WRITE : 0);
    g_assert_cmpuint(got->cap_offset, ==, 0);
    g_assert_cmpuint(got->offset, ==, 0);
    g_assert_cmpint(v->fd, ==, -1);
}

static void test_region_info(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const uint64_t sizes[] = { FAKE_IO_SIZE, FAKE_MEM_SIZE, 0, 0, 0, 0, 0, 256, 0, 0, 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        check_region(v, i, sizes[i]);
    }
    check_region(v, UINT32_MAX, 0); /* an error would fail the client's realize */
}

static int mapped_fd = -1; /* the test program's own: fake devices have no instance data for it */

static bool map_bar(PciDev *pci G_GNUC_UNUSED, unsigned bar, PciBarMap *map)
{
    *map = (PciBarMap){ .fd = mapped_fd, .offset = 2 * PAGE, .n_areas = 2 };
    map->area[0].size = PAGE;
    map->area[1].offset = 2 * PAGE;
    map->area[1].size = PAGE;
    return bar == 1;
}

/* Whatever room the client leaves: the fixed part with the size it should leave, or all of it. The
 * descriptor comes each time. */
static void test_region_argsz(void)
{
    Vfu *v = g_new0(Vfu, 1);
    const uint32_t need = 32 + 16 + 2 * 16;

    vfu_init(v);
    mapped_fd = vfu_ram(8);
    v->ops.bar_map = map_bar;
    vfu_start(v);
    vfu_version(v, NULL);
    for (uint32_t argsz = 32; argsz < 200; argsz++) {
        VfuRegionInfo info = { .argsz = argsz, .index = 1 };
        VfuSparseMmap cap;
        VfuArea area;

        vfu_put(v, VFU_DEVICE_GET_REGION_INFO, 0, &info, sizeof(info), NULL, 0);
        memcpy(&info, vfu_take(v, argsz < need ? 32 : need), sizeof(info));
        g_assert_cmpuint(info.argsz, ==, need);
        g_assert_cmphex(info.flags, ==, 15);
        g_assert_cmpuint(info.cap_offset, ==, 32);
        g_assert_cmpuint(info.size, ==, FAKE_MEM_SIZE);
        g_assert_cmpuint(info.offset, ==, 2 * PAGE);
        g_assert_cmpint(v->fd, >=, 0);
        if (argsz >= need) {
            memcpy(&cap, v->data + 32, sizeof(cap));
            g_assert_cmpuint(cap.id, ==, 1);
            g_assert_cmpuint(cap.version, ==, 1);
            g_assert_cmpuint(cap.next, ==, 0);
            g_assert_cmpuint(cap.nr_areas, ==, 2);
            memcpy(&area, v->data + 64, sizeof(area));
            g_assert_cmpuint(area.offset, ==, 2 * PAGE);
            g_assert_cmpuint(area.size, ==, PAGE);
        }
    }
    check_region(v, 0, FAKE_IO_SIZE);
    fd_clear(&mapped_fd);
    vfu_fini(v);
    g_free(v);
}

/* ---- regions ---- */

static void test_config(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess all = { 0, VFU_REGION_CONFIG, PCI_CONFIG_SIZE };
    const uint8_t *got;

    got = vfu_ask(v, VFU_REGION_READ, &all, sizeof(all), sizeof(all) + PCI_CONFIG_SIZE);
    g_assert_cmpmem(got + sizeof(all), PCI_CONFIG_SIZE, v->fake->pci.config, PCI_CONFIG_SIZE);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, 2, 2), ==, 0x5678);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, 0xff, 1), ==, 0);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, 1, 3), ==, 0x567812);
    vfu_write(v, VFU_REGION_CONFIG, PCI_BAR0, 0xffffffff, 4); /* sizing */
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_BAR0, 4), ==, 0xfffffff1);
    vfu_write(v, VFU_REGION_CONFIG, PCI_ROM_BAR, 0xfffff800, 4);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_ROM_BAR, 4), ==, 0);
    vfu_write(v, VFU_REGION_CONFIG, PCI_INT_LINE, 11, 1);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_INT_LINE, 2), ==, 0x10b);
}

/* Where the BARs are on the bus doesn't matter here, nor whether they are enabled. */
static void test_bars(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    vfu_write(v, 1, 0x10, 0x1122334455667788, 8);
    g_assert_cmphex(vfu_read(v, 1, 0x10, 8), ==, 0x1122334455667788);
    g_assert_cmphex(vfu_read(v, 1, 0x13, 1), ==, 0x55);
    g_assert_cmphex(vfu_read(v, 1, 0x11, 4), ==, 0x44556677);
    vfu_post(v, 0, 1, 0x42, 1);
    vfu_take_nothing(v);
    g_assert_cmphex(vfu_read(v, 0, 0, 4), ==, 0x4200);
    g_assert_cmpstr(v->fake->log->str, ==,
                    "w1+16/4 w1+20/4 r1+16/4 r1+20/4 r1+19/1 r1+17/1 r1+18/2 r1+20/1 w0+1/1 "
                    "r0+0/4 ");
}

static void test_large_access(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *payload = g_malloc(16 + FAKE_MEM_SIZE);
    VfuRegionAccess access = { 0, 1, FAKE_MEM_SIZE };

    memcpy(payload, &access, sizeof(access));
    for (unsigned i = 0; i < FAKE_MEM_SIZE; i++) {
        payload[16 + i] = i * 7;
    }
    vfu_ask(v, VFU_REGION_WRITE, payload, 16 + FAKE_MEM_SIZE, 16);
    g_assert_cmpmem(v->fake->ram, FAKE_MEM_SIZE, payload + 16, FAKE_MEM_SIZE);
    vfu_ask(v, VFU_REGION_READ, &access, sizeof(access), 16 + FAKE_MEM_SIZE);
    g_assert_cmpmem(v->data, 16 + FAKE_MEM_SIZE, payload, 16 + FAKE_MEM_SIZE);
}

static const VfuRegionAccess bad_accesses[] = {
    { 0, 0, 0 },          { 0, 0, 17 },
    { 16, 0, 1 },         { 15, 0, 2 },
    { UINT64_MAX, 0, 1 }, { UINT64_MAX, 0, 2 },
    { 0, 2, 1 },          { 0, 5, 4 },
    { 0, 6, 4 },          { 256, 7, 1 },
    { 253, 7, 4 },        { 0, 7, 257 },
    { 0, 7, UINT32_MAX }, { UINT64_MAX - 3, 7, 4 },
    { 0, 8, 4 },          { 0, 9, 4 },
    { 0, UINT32_MAX, 4 }, { 1ull << 32, 1, 4 },
    { 0, 0, 1u << 20 },   { 0, 0, 0x80000000 },
};

static void test_bad_accesses(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(bad_accesses); i++) {
        uint8_t payload[16 + 512] = { 0 };

        memcpy(payload, &bad_accesses[i], 16);
        vfu_ask_error(v, VFU_REGION_READ, payload, 16, EINVAL);
        vfu_ask_error(v, VFU_REGION_WRITE, payload, sizeof(payload), EINVAL);
        vfu_put(v, VFU_REGION_WRITE, VFU_NO_REPLY, payload, sizeof(payload), NULL, 0);
        vfu_take_nothing(v);
    }
    g_assert_cmpstr(v->fake->log->str, ==, "");
    g_assert_true(vfu_alive(v));
}

/* ---- REGION_WRITE_MULTI ---- */

static size_t build_multi(uint8_t *payload, uint64_t n, const VfuMultiEntry *entries, size_t room)
{
    memcpy(payload, &n, sizeof(n));
    memcpy(payload + sizeof(n), entries, room * sizeof(*entries));
    return sizeof(n) + room * sizeof(*entries);
}

static void test_multi(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const VfuMultiEntry entries[] = {
        { 0, 1, 4, { 1, 2, 3, 4 } },    { 8, 1, 8, { 1, 2, 3, 4, 5, 6, 7, 8 } },
        { FAKE_REG_WORK, 0, 4, { 1 } }, { 4, 0, 1, { 9 } },
        { FAKE_REG_WORK, 0, 4, { 5 } },
    };
    uint8_t payload[512];
    size_t len = build_multi(payload, 5, entries, 5);

    vfu_put(v, VFU_REGION_WRITE_MULTI, VFU_NO_REPLY, payload, len, NULL, 0);
    vfu_take_nothing(v);
    g_assert_cmpstr(v->fake->log->str, ==, "w1+0/4 w1+8/4 w1+12/4 w0+12/4 w0+4/1 w0+12/4 ");
    g_assert_cmphex(vfu_read(v, 0, FAKE_REG_WORK, 4), ==, 6); /* the work of each was done */
    vfu_ask(v, VFU_REGION_WRITE_MULTI, payload, len, 8);
    g_assert_cmpuint(v->data[0], ==, 5);
}

static void test_multi_bad(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const VfuMultiEntry entries[] = {
        { 0, 0, 9, { 0 } },  { 0, 0, 0, { 0 } }, { 16, 0, 1, { 0 } },
        { 0, 99, 4, { 0 } }, { 4, 0, 1, { 9 } },
    };
    static const uint64_t counts[] = {
        6, 7, UINT64_MAX, UINT64_MAX / 24, UINT64_MAX / 24 + 1, 1ull << 61
    };
    uint8_t payload[512];
    size_t len;

    for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
        len = build_multi(payload, counts[i], entries, 5);
        vfu_ask_error(v, VFU_REGION_WRITE_MULTI, payload, len, EINVAL);
    }
    g_assert_cmpstr(v->fake->log->str, ==, "");
    len = build_multi(payload, 5, entries, 5);
    vfu_ask_error(v, VFU_REGION_WRITE_MULTI, payload, len, EINVAL);
    g_assert_cmpstr(v->fake->log->str, ==, "w0+4/1 "); /* the good one */
}

static void test_multi_not_offered(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t payload[8] = { 0 };

    vfu_version(v, "{}");
    vfu_ask_error(v, VFU_REGION_WRITE_MULTI, payload, 8, ENOTSUP);
}

/* ---- DMA ---- */

static void test_dma(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(16);
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 4 * PAGE, 2 * PAGE };
    unsigned before = vfu_open_fds();
    char c = 0;

    vfu_map(v, 4 * PAGE, 2 * PAGE, ram, 8 * PAGE);
    g_assert_cmpuint(vfu_open_fds(), ==, before);
    g_assert_cmpint(guest_memory_write(v->m->mem, 5 * PAGE, "x", 1), ==, 0);
    g_assert_cmpint(pread(ram, &c, 1, 9 * PAGE), ==, 1);
    g_assert_cmpint(c, ==, 'x');
    g_assert_cmpmem(vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap)), sizeof(unmap),
                    &unmap, sizeof(unmap));
    g_assert_cmpint(guest_memory_write(v->m->mem, 5 * PAGE, "x", 1), ==, -EFAULT);
    vfu_ask_error(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), ENOENT);
}

static void test_dma_readonly(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(1);
    VfuDmaMap map = { sizeof(map), VFU_DMA_MAP_READ, 0, 0, PAGE };
    char c;

    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
    vfu_take(v, 0);
    g_assert_cmpint(guest_memory_read(v->m->mem, 0, &c, 1), ==, 0);
    g_assert_cmpint(guest_memory_write(v->m->mem, 0, "x", 1), ==, -EFAULT);
}

/* Accepted, no target, unmapped like any other. */
static void test_dma_without_fd(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(1);
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 0xc0000, 0x20000 };
    VfuDmaMap map = { sizeof(map), VFU_DMA_MAP_READ, 0, 0xd0000, PAGE };
    char c;

    vfu_map(v, 0xc0000, 0x20000, -1, 0);
    g_assert_cmpint(guest_memory_read(v->m->mem, 0xc0000, &c, 1), ==, -EFAULT);
    vfu_ask_error(v, VFU_DMA_MAP, &map, sizeof(map), EEXIST);
    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
    vfu_take_error(v, EEXIST);
    vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap));
    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
    vfu_take(v, 0);
}

static void test_dma_overlap(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        uint64_t page, pages;
        int err;
    } cases[] = {
        { 10, 10, EEXIST }, { 9, 2, EEXIST },  { 19, 1, EEXIST }, { 19, 2, EEXIST },
        { 12, 1, EEXIST },  { 0, 40, EEXIST }, { 29, 2, EEXIST }, { 8, 2, 0 },
        { 20, 10, 0 },      { 0, 8, 0 },       { 0, 1, EEXIST },
    };
    AUTO_FD ram = vfu_ram(64);

    vfu_map(v, 10 * PAGE, 10 * PAGE, ram, 0);
    vfu_map(v, 30 * PAGE, 1 * PAGE, -1, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        VfuDmaMap map = { sizeof(map), 3, 0, cases[i].page * PAGE, cases[i].pages * PAGE };

        vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &ram, 1);
        if (cases[i].err) {
            vfu_take_error(v, cases[i].err);
        } else {
            vfu_take(v, 0);
        }
    }
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 4);
    g_assert_cmpuint(v->server->dma->len, ==, 5);
}

static void test_dma_bad(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const VfuDmaMap maps[] = {
        { 32, 0, 0, 0, PAGE },
        { 32, 4, 0, 0, PAGE },
        { 32, 7, 0, 0, PAGE },
        { 32, 0x80000003, 0, 0, PAGE },
        { 32, 3, 0, 0, 0 },
        { 32, 3, 0, UINT64_MAX - PAGE + 1, 2 * PAGE },
        { 32, 3, 0, PAGE, UINT64_MAX - PAGE + 2 },
        { 32, 3, 0, 1, PAGE }, /* from here on: with a file only */
        { 32, 3, 0, 0, PAGE + 1 },
        { 32, 3, 1, 0, PAGE },
        { 32, 3, PAGE, 0, 8 * PAGE }, /* beyond its end */
        { 32, 3, 8 * PAGE, 0, PAGE },
        { 32, 3, UINT64_MAX - PAGE + 1, 0, PAGE },
        { 32, 3, 1ull << 63, 0, PAGE },
    };
    AUTO_FD ram = vfu_ram(8);
    int two[] = { ram, ram };

    for (unsigned i = 0; i < G_N_ELEMENTS(maps); i++) {
        vfu_put(v, VFU_DMA_MAP, 0, &maps[i], sizeof(maps[i]), &ram, 1);
        vfu_take_error(v, EINVAL);
        if (i < 7) {
            vfu_ask_error(v, VFU_DMA_MAP, &maps[i], sizeof(maps[i]), EINVAL);
        }
    }
    VfuDmaMap good = { 32, 3, 0, 0, PAGE };
    vfu_put(v, VFU_DMA_MAP, 0, &good, sizeof(good), two, 2);
    vfu_take_error(v, EINVAL);
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 0);
    g_assert_cmpuint(v->server->dma->len, ==, 0);
}

static void test_dma_no_files(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaMap map = { 32, 3, 0, 0, PAGE };
    AUTO_FD ram = vfu_ram(8);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", ram);
    int fds[6], pair[2];

    g_assert_cmpint(pipe2(pair, O_CLOEXEC), ==, 0);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), ==, 0);
    fds[2] = eventfd(0, EFD_CLOEXEC);
    fds[3] = open("/dev/null", O_RDWR | O_CLOEXEC);
    fds[4] = open("/", O_RDONLY | O_CLOEXEC);
    fds[5] = open(path, O_RDONLY | O_CLOEXEC); /* a file, but not to be written */
    for (unsigned i = 0; i < G_N_ELEMENTS(fds); i++) {
        vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &fds[i], 1);
        vfu_take_error(v, EINVAL);
        close(fds[i]);
    }
    vfu_put(v, VFU_DMA_MAP, 0, &map, sizeof(map), &pair[1], 1);
    vfu_take_error(v, EINVAL);
    close(pair[0]);
    close(pair[1]);
    g_assert_true(vfu_alive(v));
}

static void test_unmap_bad(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    static const struct {
        VfuDmaUnmap unmap;
        int err;
    } cases[] = {
        { { 24, 0, 0, PAGE }, ENOENT },
        { { 24, 0, PAGE, PAGE }, ENOENT },
        { { 24, 0, 4 * PAGE, PAGE }, ENOENT },
        { { 24, 0, 5 * PAGE, PAGE }, ENOENT },
        { { 24, 0, 4 * PAGE, 3 * PAGE }, ENOENT },
        { { 24, 0, 0, 0 }, ENOENT },
        { { 24, 0, 0, UINT64_MAX }, ENOENT },
        { { 24, 0, UINT64_MAX, UINT64_MAX }, ENOENT },
        { { 24, 1, 4 * PAGE, 2 * PAGE }, EINVAL },
        { { 24, 4, 4 * PAGE, 2 * PAGE }, EINVAL },
        { { 24, 2, 4 * PAGE, 2 * PAGE }, EINVAL },
        { { 24, 2, 0, 1 }, EINVAL },
    };
    AUTO_FD ram = vfu_ram(8);

    vfu_map(v, 4 * PAGE, 2 * PAGE, ram, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        vfu_ask_error(v, VFU_DMA_UNMAP, &cases[i].unmap, sizeof(cases[i].unmap), cases[i].err);
    }
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 1);
    /* As SPDK's client does: its descriptor comes along again. */
    VfuDmaUnmap unmap = { 24, 0, 4 * PAGE, 2 * PAGE };
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), &ram, 1);
    vfu_take(v, sizeof(unmap));
}

static void test_unmap_all(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaUnmap unmap = { sizeof(unmap), VFU_DMA_UNMAP_ALL, 0, 0 };
    AUTO_FD ram = vfu_ram(8);

    for (unsigned i = 0; i < 8; i++) {
        vfu_map(v, 2 * i * PAGE, PAGE, i % 3 ? ram : -1, i * PAGE);
    }
    for (unsigned i = 0; i < 2; i++) {
        vfu_ask(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), sizeof(unmap));
        g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 0);
        g_assert_cmpuint(v->server->dma->len, ==, 0);
    }
}

static void test_dma_limit(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaMap map = { 32, 3, 0, VFU_MAX_DMA_MAPS * PAGE, PAGE };

    for (uint64_t i = 0; i < VFU_MAX_DMA_MAPS; i++) {
        vfu_map(v, (i * 7919 % VFU_MAX_DMA_MAPS) * PAGE, PAGE, -1, 0);
    }
    vfu_ask_error(v, VFU_DMA_MAP, &map, sizeof(map), ENOSPC);
}

static void test_dma_shrunk(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(8);

    vfu_map(v, 0, 8 * PAGE, ram, 0);
    guest_memory_thread_use(v->m->mem);
    g_assert_cmpint(ftruncate(ram, PAGE), ==, 0);
    g_assert_cmpint(guest_memory_write(v->m->mem, 4 * PAGE, "x", 1), ==, -EFAULT);
    guest_memory_thread_use(NULL);
    g_assert_true(vfu_alive(v));
}

/* ---- what waits ---- */

static GuestRegion *pin(Vfu *v, uint64_t gpa)
{
    GuestRegion *region;
    size_t len = 1;

    g_assert_nonnull(guest_memory_ptr(v->m->mem, gpa, &len, true, &region));
    guest_region_pin(region);
    return region;
}

/* The answer comes with the last pin, and what is behind it waits. */
static void test_unmap_pinned(Vfu *v, gconstpointer data)
{
    VfuDmaUnmap unmap = { sizeof(unmap), GPOINTER_TO_INT(data), 0, PAGE };
    AUTO_FD ram = vfu_ram(2);
    GuestRegion *regions[2];
    uint16_t id;

    if (unmap.flags) {
        unmap.size = 0;
    }
    vfu_map(v, 0, PAGE, ram, 0);
    vfu_map(v, PAGE, PAGE, ram, PAGE);
    regions[0] = pin(v, 0);
    regions[1] = pin(v, PAGE);
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
    id = v->id;
    g_assert_cmpint(guest_memory_write(v->m->mem, 0, "x", 1), ==, -EFAULT); /* at once */
    vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    guest_region_unpin(regions[0]);
    if (unmap.flags) {
        vfu_settle(v);
        vfu_take_nothing(v);
    }
    guest_region_unpin(regions[1]);
    vfu_settle(v);
    v->id = id;
    vfu_take(v, sizeof(unmap));
    v->id++;
    vfu_take(v, 0);
}

/* Runs the loop until an answer is there. */
static void wait_answer(Vfu *v)
{
    struct timespec pause = { .tv_nsec = 1000000 };
    int64_t until = loop_now_ns() + 20 * INT64_C(1000000000);
    char byte;

    while (recv(v->peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1) {
        g_assert_cmpint(loop_now_ns(), <, until);
        nanosleep(&pause, NULL);
        vfu_settle(v);
    }
}

static void test_unmap_timeout(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 0, PAGE };
    AUTO_FD ram = vfu_ram(2);
    GuestRegion *region;

    v->server->patience_ns = 1;
    vfu_map(v, 0, PAGE, ram, 0);
    for (unsigned i = 0; i < 3; i++) {
        region = pin(v, 0);
        vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
        wait_answer(v);
        vfu_take_error(v, ETIMEDOUT);
        g_assert_true(vfu_alive(v));
        vfu_ask_error(v, VFU_DMA_UNMAP, &unmap, sizeof(unmap), ENOENT);
        vfu_map(v, 0, PAGE, ram, PAGE); /* the place is free */
        guest_region_unpin(region);
        vfu_settle(v);
        vfu_take_nothing(v); /* no second answer */
    }
}

/* The client is gone before its unmap is done; pins go when the device drains. */
static void test_unmap_hang_up(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuDmaUnmap unmap = { sizeof(unmap), 0, 0, PAGE };
    AUTO_FD ram = vfu_ram(2);
    GuestRegion *region;

    vfu_map(v, 0, PAGE, ram, 0);
    region = pin(v, 0);
    v->fake->hold_drain = true;
    vfu_put(v, VFU_DMA_UNMAP, 0, &unmap, sizeof(unmap), NULL, 0);
    vfio_user_server_stop(v->server);
    vfu_settle(v);
    g_assert_cmpuint(v->fake->drains, ==, 1);
    g_assert_cmpuint(v->ended, ==, 0);
    guest_region_unpin(region);
    fake_idle(v->fake);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
    g_assert_false(v->violation);
}

static void test_reset(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ram = vfu_ram(1);
    AUTO_FD irqfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    vfu_map(v, 0, PAGE, ram, 0);
    vfu_set_irqs(v, 0x24, 0, 0, 1, &irqfd, 1);
    vfu_write(v, VFU_REGION_CONFIG, PCI_COMMAND, 7, 2);
    vfu_write(v, 0, 0, 0xff, 1);
    vfu_ask(v, VFU_DEVICE_RESET, NULL, 0, 0);
    g_assert_cmpuint(v->fake->resets, ==, 1);
    g_assert_cmphex(vfu_read(v, VFU_REGION_CONFIG, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(vfu_read(v, 0, 0, 1), ==, 0);
    g_assert_cmpuint(guest_memory_count(v->m->mem), ==, 1); /* survives it */
    g_assert_cmpint(v->m->iohub.irqfd, >=, 0);
    vfu_put(v, VFU_DEVICE_RESET, VFU_NO_REPLY, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    g_assert_cmpuint(v->fake->resets, ==, 2);
    g_assert_true(vfu_alive(v));
}

/* Given up on at the deadline; registers are out of reach until it is done, the rest works, and
 * another reset waits for the same. */
static void test_reset_timeout(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    VfuRegionAccess access = { 0, 0, 4 };
    uint8_t payload[20] = { 0 };
    AUTO_FD ram = vfu_ram(1);

    v->server->patience_ns = 1;
    v->fake->hold_drain = true;
    memcpy(payload, &access, sizeof(access));
    for (unsigned i = 0; i < 3; i++) {
        vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
        wait_answer(v);
        vfu_take_error(v, ETIMEDOUT);
        vfu_ask_error(v, VFU_REGION_READ, payload, 16, EBUSY);
        vfu_ask_error(v, VFU_REGION_WRITE, payload, 20, EBUSY);
        vfu_map(v, i * PAGE, PAGE, ram, 0);
    }
    g_assert_cmpuint(v->fake->drains, ==, 1);
    v->server->patience_ns = INT64_C(1000000000) * 1000;
    vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
    vfu_take_nothing(v);
    fake_idle(v->fake);
    vfu_settle(v);
    vfu_take(v, 0);
    g_assert_cmpuint(v->fake->resets, ==, 1);
    g_assert_true(vfu_alive(v));
    v->fake->hold_drain = false;
}

static void test_reset_hang_up(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    v->fake->hold_drain = true;
    vfu_put(v, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
    vfio_user_server_stop(v->server);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 0);
    fake_idle(v->fake);
    vfu_settle(v);
    g_assert_cmpuint(v->ended, ==, 1);
}

/* ---- counters ---- */

static void test_counters(Vfu *v, gconstpointer data G_GNUC_UNUSED)
{
    RemoteCounters counters;

    machine_counters_clear(v->m);
    vfu_read(v, 1, 0, 4);
    vfu_post(v, 1, 0, 0, 4);
    vfu_write(v, VFU_REGION_CONFIG, 0x3c, 1, 1);
    vfu_ask_error(v, VFU_DMA_READ, NULL, 0, ENOTSUP);
    vfu_ask_error(v, 1000, NULL, 0, ENOTSUP);
    counters = machine_counters(v->m);
    g_assert_cmpuint(counters.messages[VFU_REGION_READ], ==, 1);
    g_assert_cmpuint(counters.messages[VFU_REGION_WRITE], ==, 2);
    g_assert_cmpuint(counters.messages[VFU_DMA_READ], ==, 1);
    g_assert_cmpuint(counters.bar_reads[1], ==, 1);
    g_assert_cmpuint(counters.bar_writes[1], ==, 1);
    g_assert_cmpuint(counters.cfg_writes, ==, 1);
    g_assert_cmpuint(counters.errors, ==, 2);
    g_assert_cmpstr(counters.last_error, ==, "message (1000) refused: Operation not supported");
    g_assert_cmpstr(vfio_user_message_name(VFU_DMA_READ), ==, "DMA_READ");
    g_assert_null(vfio_user_message_name(14)); /* a gap in the numbers */
    g_assert_null(vfio_user_message_name(1000));
}

#define TEST(name) g_test_add("/vfio-user/" #name, Vfu, NULL, vfu_setup, test_##name, vfu_teardown)
#define SILENT(name)                                                                               \
    g_test_add("/vfio-user/" #name, Vfu, NULL, vfu_setup_silent, test_##name, vfu_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    guest_memory_sigbus_init();
    SILENT(version);
    SILENT(version_bad);
    SILENT(version_first);
    TEST(unknown_commands);
    TEST(flags);
    TEST(ids);
    TEST(sizes);
    TEST(argsz);
    TEST(surplus_fds);
    TEST(info);
    TEST(region_info);
    g_test_add_func("/vfio-user/region_argsz", test_region_argsz);
    TEST(config);
    TEST(bars);
    TEST(large_access);
    TEST(bad_accesses);
    TEST(multi);
    TEST(multi_bad);
    SILENT(multi_not_offered);
    TEST(dma);
    TEST(dma_readonly);
    TEST(dma_without_fd);
    TEST(dma_overlap);
    TEST(dma_bad);
    TEST(dma_no_files);
    TEST(unmap_bad);
    TEST(unmap_all);
    TEST(dma_limit);
    TEST(dma_shrunk);
    g_test_add("/vfio-user/unmap_pinned", Vfu, GINT_TO_POINTER(0), vfu_setup, test_unmap_pinned,
               vfu_teardown);
    g_test_add("/vfio-user/unmap_all_pinned", Vfu, GINT_TO_POINTER(VFU_DMA_UNMAP_ALL), vfu_setup,
               test_unmap_pinned, vfu_teardown);
    TEST(unmap_timeout);
    TEST(unmap_hang_up);
    TEST(reset);
    TEST(reset_timeout);
    TEST(reset_hang_up);
    TEST(counters);
    return g_test_run();
}
