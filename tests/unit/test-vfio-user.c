/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The vfio-user server and the machine under it: VERSION, what the device is, its regions, and the
 * bad values of every field. DMA maps and reset are test-vfio-user-dma.c, interrupts
 * test-vfio-user-irqs.c; what is not one message at a time (hang-ups, order, whole sessions) is
 * test-vfio-user-stream.c.
 */
#include "vfu-harness.h"
#include "util/fd.h"
#include <errno.h>
#include <sys/eventfd.h>

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
    g_assert_cmpstr(machine_last_error(v->m), ==,
                    "message (1000) refused: Operation not supported");
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
    TEST(counters);
    return g_test_run();
}
