/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory map: what is seen where sections overlap, how the view is cut and put together, when
 * listeners are told, and accesses across sections. The last test compares the view of random
 * maps, byte by byte, with a model that has a byte for each address.
 */
#include "hw/core/memory-map.h"
#include <inttypes.h>
#include <string.h>

#define SPACE 0x1000

typedef struct Watcher {
    MemoryListener listener;
    GArray *flat; /* MemorySection: as told last */
    unsigned calls;
    bool leave; /* at the next call */
} Watcher;

static void on_commit(void *opaque, const MemorySection *flat, unsigned n)
{
    Watcher *w = opaque;

    g_array_set_size(w->flat, 0);
    g_array_append_vals(w->flat, flat, n);
    w->calls++;
    if (w->leave) {
        memory_map_unlisten(&w->listener);
    }
}

typedef struct Fixture {
    MemoryMap *map;
    Watcher watcher;
    uint8_t ram[SPACE], rom[SPACE];
    GString *log; /* of MMIO */
} Fixture;

static void set_up(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->map = memory_map_new();
    f->watcher = (Watcher){ .flat = g_array_new(FALSE, FALSE, sizeof(MemorySection)) };
    f->log = g_string_new(NULL);
    memory_map_listen(f->map, &f->watcher.listener, on_commit, &f->watcher);
}

static void tear_down(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    memory_map_unlisten(&f->watcher.listener);
    memory_map_unlisten(&f->watcher.listener); /* a second time is nothing */
    memory_map_free(f->map);
    g_array_free(f->watcher.flat, TRUE);
    g_string_free(f->log, TRUE);
}

static uint64_t mmio_read(void *opaque, uint64_t off, unsigned size)
{
    Fixture *f = opaque;

    g_string_append_printf(f->log, "r%x/%u ", (unsigned)off, size);
    return UINT64_C(0x8877665544332211) + off;
}

static void mmio_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    Fixture *f = opaque;

    g_string_append_printf(f->log, "w%x/%u=%" PRIx64 " ", (unsigned)off, size, value);
}

static const MmioOps mmio_ops = { .read = mmio_read, .write = mmio_write };

static MemorySection section(Fixture *f, MemoryKind kind, uint64_t addr, uint64_t size,
                             int priority)
{
    MemorySection s = { .addr = addr, .size = size, .kind = kind, .fd = -1, .priority = priority };

    switch (kind) {
    case MEMORY_RAM:
        s.host = f->ram + addr;
        s.fd = 7;
        s.fd_offset = 0x10000 + addr;
        break;
    case MEMORY_ROM:
        s.host = f->rom + addr;
        break;
    case MEMORY_MMIO:
        s.ops = &mmio_ops;
        s.opaque = f;
        break;
    }
    return s;
}

static void add(Fixture *f, MemoryKind kind, uint64_t addr, uint64_t size, int priority)
{
    MemorySection s = section(f, kind, addr, size, priority);

    g_assert_true(memory_map_add(f->map, &s));
}

/* "RAM 0+1000, MMIO ..." of what the listener was told. */
static void assert_view(Fixture *f, const char *expected)
{
    static const char *const names[] = { "RAM", "ROM", "MMIO" };
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < f->watcher.flat->len; i++) {
        const MemorySection *s = &g_array_index(f->watcher.flat, MemorySection, i);
        g_string_append_printf(text, "%s%s %" PRIx64 "+%" PRIx64, i ? ", " : "", names[s->kind],
                               s->addr, s->size);
        if (s->kind == MEMORY_RAM) {
            g_assert_true(s->host == f->ram + s->addr);
            g_assert_cmpint(s->fd, ==, 7);
            g_assert_cmpuint(s->fd_offset, ==, 0x10000 + s->addr);
        }
    }
    g_assert_cmpstr(text->str, ==, expected);
}

static void assert_log(Fixture *f, const char *expected)
{
    g_assert_cmpstr(f->log->str, ==, expected);
    g_string_truncate(f->log, 0);
}

static void test_overlap(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    add(f, MEMORY_RAM, 0, 0x1000, 0);
    assert_view(f, "RAM 0+1000");
    add(f, MEMORY_MMIO, 0x400, 0x100, 1);
    assert_view(f, "RAM 0+400, MMIO 400+100, RAM 500+b00");
    add(f, MEMORY_ROM, 0x480, 0x200, 0);
    assert_view(f, "RAM 0+400, MMIO 400+100, ROM 500+180, RAM 680+980");
    add(f, MEMORY_ROM, 0x300, 0x300, -1);
    assert_view(f, "RAM 0+400, MMIO 400+100, ROM 500+180, RAM 680+980");
    g_assert_true(memory_map_del(f->map, 0, 0x1000, 0));
    assert_view(f, "ROM 300+100, MMIO 400+100, ROM 500+180");
    g_assert_true(memory_map_del(f->map, 0x400, 0x100, 1));
    /* One goes on in the other: they show the same bytes. */
    assert_view(f, "ROM 300+380");
}

static void test_merging(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MemorySection other;

    add(f, MEMORY_RAM, 0x000, 0x100, 0);
    add(f, MEMORY_RAM, 0x200, 0x100, 0);
    assert_view(f, "RAM 0+100, RAM 200+100");
    add(f, MEMORY_RAM, 0x100, 0x100, 5);
    assert_view(f, "RAM 0+300");
    /* Adjacent in the map, but in another place of the file, or of another file. */
    other = section(f, MEMORY_RAM, 0x300, 0x100, 0);
    other.fd_offset += 0x1000;
    g_assert_true(memory_map_add(f->map, &other));
    g_assert_cmpuint(f->watcher.flat->len, ==, 2);
    g_assert_true(memory_map_del(f->map, 0x300, 0x100, 0));
    other = section(f, MEMORY_RAM, 0x300, 0x100, 0);
    other.fd = 8;
    g_assert_true(memory_map_add(f->map, &other));
    g_assert_cmpuint(f->watcher.flat->len, ==, 2);
    /* Two devices of a kind are two. */
    add(f, MEMORY_MMIO, 0x800, 0x100, 0);
    add(f, MEMORY_MMIO, 0x900, 0x100, 0);
    g_assert_cmpuint(f->watcher.flat->len, ==, 4);
}

static void test_one_callback_a_commit(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpuint(f->watcher.calls, ==, 1); /* when it was added */
    memory_map_begin(f->map);
    add(f, MEMORY_RAM, 0, 0x100, 0);
    add(f, MEMORY_MMIO, 0x100, 0x100, 0);
    memory_map_begin(f->map);
    add(f, MEMORY_MMIO, 0x200, 0x100, 0);
    memory_map_commit(f->map);
    g_assert_cmpuint(f->watcher.calls, ==, 1);
    assert_view(f, "");
    memory_map_commit(f->map);
    g_assert_cmpuint(f->watcher.calls, ==, 2);
    g_assert_cmpuint(f->watcher.flat->len, ==, 3);
    memory_map_begin(f->map);
    memory_map_commit(f->map);
    g_assert_cmpuint(f->watcher.calls, ==, 2); /* nothing has changed */
    add(f, MEMORY_MMIO, 0x300, 0x100, 0);
    g_assert_cmpuint(f->watcher.calls, ==, 3);
    g_assert_false(memory_map_del(f->map, 0x300, 0x100, 1));
    g_assert_false(memory_map_del(f->map, 0x300, 0x80, 0));
    g_assert_cmpuint(f->watcher.calls, ==, 3);
}

static void test_listeners(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    Watcher second = { .flat = g_array_new(FALSE, FALSE, sizeof(MemorySection)) };

    add(f, MEMORY_RAM, 0, 0x100, 0);
    memory_map_listen(f->map, &second.listener, on_commit, &second);
    g_assert_cmpuint(second.calls, ==, 1);
    g_assert_cmpuint(second.flat->len, ==, 1);
    second.leave = true;
    add(f, MEMORY_RAM, 0x200, 0x100, 0);
    g_assert_cmpuint(second.calls, ==, 2);
    g_assert_cmpuint(f->watcher.calls, ==, 3);
    add(f, MEMORY_RAM, 0x400, 0x100, 0);
    g_assert_cmpuint(second.calls, ==, 2);
    g_assert_cmpuint(f->watcher.calls, ==, 4);
    g_array_free(second.flat, TRUE);
}

static void test_refused(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    MemorySection s = section(f, MEMORY_MMIO, 0x100, 0, 0);

    g_assert_false(memory_map_add(f->map, &s));
    s = section(f, MEMORY_MMIO, UINT64_MAX - 0xfe, 0x100, 0);
    g_assert_false(memory_map_add(f->map, &s));
    g_assert_cmpuint(f->watcher.calls, ==, 1);
    /* The very end is fine. */
    s = section(f, MEMORY_MMIO, UINT64_MAX - 0xff, 0x100, 0);
    g_assert_true(memory_map_add(f->map, &s));
    assert_view(f, "MMIO ffffffffffffff00+100");
    uint32_t value;
    g_assert_true(memory_map_read(f->map, UINT64_MAX - 3, &value, 4));
    assert_log(f, "rfc/4 ");
}

static void test_across_sections(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[8];
    bool there;

    add(f, MEMORY_RAM, 0, 0x100, 0);
    add(f, MEMORY_ROM, 0x100, 0x100, 0);
    memset(f->ram, 0x11, SPACE);
    memset(f->rom, 0x22, SPACE);
    g_assert_true(memory_map_read(f->map, 0xfc, buf, 8));
    g_assert_cmpmem(buf, 8, "\x11\x11\x11\x11\x22\x22\x22\x22", 8);
    memset(buf, 0x33, 8);
    g_assert_true(memory_map_write(f->map, 0xfc, buf, 8));
    g_assert_cmpmem(f->ram + 0xfc, 4, "\x33\x33\x33\x33", 4);
    g_assert_cmpint(f->ram[0x100], ==, 0x11);
    g_assert_cmpint(f->rom[0x100], ==, 0x22);
    g_assert_false(memory_map_read(f->map, 0x1fe, buf, 4));
    g_assert_cmpmem(buf, 4, "\x22\x22\xff\xff", 4);
    g_assert_false(memory_map_write(f->map, 0x1fe, buf, 4));
    g_assert_false(memory_map_read(f->map, 0x300, buf, 4));
    g_assert_cmpmem(buf, 4, "\xff\xff\xff\xff", 4);

    g_assert_cmpuint(memory_map_span(f->map, 0xf0, 0x400, &there), ==, 0x110);
    g_assert_true(there);
    g_assert_cmpuint(memory_map_span(f->map, 0xf0, 0x20, &there), ==, 0x20);
    g_assert_true(there);
    g_assert_cmpuint(memory_map_span(f->map, 0x200, 0x400, &there), ==, 0x400);
    g_assert_false(there);
    g_assert_cmpuint(memory_map_span(f->map, UINT64_MAX, 1, &there), ==, 1);
    g_assert_false(there);
}

static void test_mmio(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    uint8_t buf[16];
    uint64_t value = 0;

    add(f, MEMORY_MMIO, 0x100, 0x100, 0);
    g_assert_true(memory_map_read(f->map, 0x108, &value, 8));
    assert_log(f, "r8/8 ");
    g_assert_cmphex(value, ==, UINT64_C(0x8877665544332219));
    g_assert_true(memory_map_read(f->map, 0x101, buf, 7));
    assert_log(f, "r1/1 r2/2 r4/4 ");
    g_assert_cmpmem(buf, 3, "\x12\x13\x22", 3);
    memset(buf, 0xab, 16);
    g_assert_true(memory_map_write(f->map, 0x106, buf, 7));
    assert_log(f, "w6/2=abab w8/4=abababab wc/1=ab ");

    /* Seen in part, an MMIO section counts from its own beginning. */
    add(f, MEMORY_RAM, 0x140, 0x40, 1);
    g_assert_true(memory_map_read(f->map, 0x13c, buf, 8));
    assert_log(f, "r3c/4 ");
    g_assert_true(memory_map_read(f->map, 0x180, buf, 4));
    assert_log(f, "r80/4 ");
    /* And is one again when what hid it is gone. */
    g_assert_true(memory_map_del(f->map, 0x140, 0x40, 1));
    assert_view(f, "MMIO 100+100");
}

/* --- against a model --- */

typedef struct Model {
    MemorySection sections[12];
    unsigned n;
} Model;

/* What a model's byte says of itself: which section is seen there, 0: none. */
static void model_bytes(const Model *m, uint8_t *seen)
{
    memset(seen, 0xff, SPACE);
    for (unsigned addr = 0; addr < SPACE; addr++) {
        const MemorySection *best = NULL;
        for (unsigned i = 0; i < m->n; i++) {
            const MemorySection *s = &m->sections[i];
            if (addr >= s->addr && addr - s->addr < s->size &&
                (!best || s->priority >= best->priority)) {
                best = s;
            }
        }
        if (best) {
            seen[addr] = best->host[addr - best->addr];
        }
    }
}

static void test_model(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_autofree uint8_t *expected = g_malloc(SPACE), *read = g_malloc(SPACE);

    for (unsigned i = 0; i < SPACE; i++) {
        f->ram[i] = g_test_rand_int_range(0, 0xff);
        f->rom[i] = g_test_rand_int_range(0, 0xff);
    }
    for (unsigned round = 0; round < 200; round++) {
        Model m = { .n = g_test_rand_int_range(1, G_N_ELEMENTS(m.sections) + 1) };

        memory_map_begin(f->map);
        for (unsigned i = 0; i < m.n; i++) {
            uint64_t addr = g_test_rand_int_range(0, SPACE);
            MemoryKind kind = g_test_rand_bit() ? MEMORY_RAM : MEMORY_ROM;
            m.sections[i] = section(f, kind, addr, g_test_rand_int_range(1, SPACE - addr + 1),
                                    g_test_rand_int_range(-2, 3));
            g_assert_true(memory_map_add(f->map, &m.sections[i]));
        }
        memory_map_commit(f->map);
        model_bytes(&m, expected);
        memory_map_read(f->map, 0, read, SPACE);
        g_assert_cmpmem(read, SPACE, expected, SPACE);
        for (unsigned i = 1; i < f->watcher.flat->len; i++) {
            const MemorySection *s = &g_array_index(f->watcher.flat, MemorySection, i);
            g_assert_cmpuint(s[-1].addr + s[-1].size, <=, s->addr);
            g_assert_true(s[-1].addr + s[-1].size < s->addr || s[-1].kind != s->kind);
        }
        memory_map_begin(f->map);
        for (unsigned i = 0; i < m.n; i++) {
            const MemorySection *s = &m.sections[i];
            g_assert_true(memory_map_del(f->map, s->addr, s->size, s->priority));
        }
        memory_map_commit(f->map);
        assert_view(f, "");
    }
}

#define TEST(name, fn) g_test_add("/memory-map/" name, Fixture, NULL, set_up, fn, tear_down)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST("overlap", test_overlap);
    TEST("merging", test_merging);
    TEST("one-callback-a-commit", test_one_callback_a_commit);
    TEST("listeners", test_listeners);
    TEST("refused", test_refused);
    TEST("across-sections", test_across_sections);
    TEST("mmio", test_mmio);
    TEST("model", test_model);
    return g_test_run();
}
