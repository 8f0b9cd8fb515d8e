/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory on memfds: the table, what it refuses, pins, reuse of mappings, and files that are
 * truncated under it (in forked children, as the wrong outcome is a signal).
 */
#include "hw/core/guest-memory.h"
#include "util/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u

typedef struct Fixture {
    GuestMemory *mem;
    int fd; /* 16 pages; page i is filled with the letter 'a' + i */
} Fixture;

static int new_file(unsigned pages)
{
    int fd = memfd_create("ram", MFD_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, pages * PAGE), ==, 0);
    for (unsigned i = 0; i < pages; i++) {
        char page[PAGE];

        memset(page, 'a' + i, PAGE);
        g_assert_cmpint(pwrite(fd, page, PAGE, i * PAGE), ==, PAGE);
    }
    return fd;
}

static void setup(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    f->mem = guest_memory_new("test");
    f->fd = new_file(16);
    guest_memory_thread_use(f->mem);
}

static void teardown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    guest_memory_free(f->mem);
    close(f->fd);
}

static GuestMap map_of(Fixture *f, unsigned gpa_page, unsigned pages, unsigned offset_page)
{
    return (GuestMap){
        .gpa = (uint64_t)gpa_page * PAGE,
        .size = (uint64_t)pages * PAGE,
        .offset = (uint64_t)offset_page * PAGE,
        .fd = f->fd,
    };
}

static bool replace(Fixture *f, const GuestMap *maps, unsigned n)
{
    g_autoptr(GError) err = NULL;
    bool ok = guest_memory_replace(f->mem, maps, n, &err);

    g_assert_true(ok == (err == NULL));
    return ok;
}

static void *ptr(Fixture *f, uint64_t gpa)
{
    size_t len = 1;

    return guest_memory_ptr(f->mem, gpa, &len, false, NULL);
}

static void test_read_write(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap maps[] = { map_of(f, 2, 1, 7), map_of(f, 0, 2, 3), map_of(f, 8, 1, 0) };
    char buf[2 * PAGE];
    char c;

    g_assert_true(replace(f, maps, 3));
    g_assert_cmpuint(guest_memory_count(f->mem), ==, 3);

    /* across two adjacent regions, of which the order in the map doesn't matter */
    g_assert_cmpint(guest_memory_read(f->mem, 2 * PAGE - 1, buf, 2), ==, 0);
    g_assert_cmpint(buf[0], ==, 'e');
    g_assert_cmpint(buf[1], ==, 'h');
    g_assert_cmpint(guest_memory_write(f->mem, 2 * PAGE - 1, "XY", 2), ==, 0);
    g_assert_cmpint(pread(f->fd, &c, 1, 5 * PAGE - 1), ==, 1);
    g_assert_cmpint(c, ==, 'X');
    g_assert_cmpint(pread(f->fd, &c, 1, 7 * PAGE), ==, 1);
    g_assert_cmpint(c, ==, 'Y');

    /* holes */
    g_assert_cmpint(guest_memory_read(f->mem, 3 * PAGE, buf, 1), ==, -EFAULT);
    g_assert_cmpint(guest_memory_read(f->mem, 3 * PAGE - 1, buf, 2), ==, -EFAULT);
    g_assert_cmpint(guest_memory_write(f->mem, 8 * PAGE - 1, buf, 2), ==, -EFAULT);
    g_assert_cmpint(guest_memory_read(f->mem, UINT64_MAX, buf, 1), ==, -EFAULT);
    g_assert_cmpint(guest_memory_read(f->mem, UINT64_MAX, buf, 2), ==, -EFAULT);
    g_assert_cmpint(guest_memory_read(f->mem, 3 * PAGE, buf, 0), ==, 0);
}

static void test_ptr(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap maps[] = { map_of(f, 0, 2, 0), map_of(f, 2, 2, 2) };
    GuestRegion *region = NULL;
    size_t len = SIZE_MAX;
    char *p;

    g_assert_true(replace(f, maps, 2));
    p = guest_memory_ptr(f->mem, PAGE + 5, &len, true, &region);
    g_assert_nonnull(p);
    g_assert_nonnull(region);
    g_assert_cmpuint(len, ==, PAGE - 5);
    g_assert_cmpint(*p, ==, 'b');
    len = 3;
    g_assert_nonnull(guest_memory_ptr(f->mem, PAGE + 5, &len, true, NULL));
    g_assert_cmpuint(len, ==, 3);
    g_assert_null(ptr(f, 4 * PAGE));
}

static void test_readonly(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap map = map_of(f, 0, 1, 0);
    size_t len = 1;
    char c;

    map.readonly = true;
    g_assert_true(replace(f, &map, 1));
    g_assert_cmpint(guest_memory_read(f->mem, 0, &c, 1), ==, 0);
    g_assert_cmpint(guest_memory_write(f->mem, 0, &c, 1), ==, -EFAULT);
    g_assert_null(guest_memory_ptr(f->mem, 0, &len, true, NULL));
}

/* A region that ends at the very top is legal; DMA does not wrap from it to address 0. */
static void test_top(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap maps[] = { map_of(f, 0, 1, 0), map_of(f, 0, 1, 1) };
    char buf[2];

    maps[1].gpa = -(uint64_t)PAGE;
    g_assert_true(replace(f, maps, 2));
    g_assert_cmpint(guest_memory_read(f->mem, UINT64_MAX, buf, 1), ==, 0);
    g_assert_cmpint(buf[0], ==, 'b');
    g_assert_cmpint(guest_memory_read(f->mem, UINT64_MAX, buf, 2), ==, -EFAULT);
}

/* ---- what is refused; then the old table is gone, too ---- */

static void refused(Fixture *f, const GuestMap *maps, unsigned n, const char *words)
{
    GuestMap good = map_of(f, 0, 1, 0);
    g_autoptr(GError) err = NULL;

    g_assert_true(replace(f, &good, 1));
    g_assert_false(guest_memory_replace(f->mem, maps, n, &err));
    g_assert_nonnull(strstr(err->message, words));
    g_assert_cmpuint(guest_memory_count(f->mem), ==, 0);
    g_assert_null(ptr(f, 0));
}

static void test_refused(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap map = map_of(f, 0, 0, 0);
    GuestMap two[] = { map_of(f, 4, 4, 0), map_of(f, 7, 2, 8) };

    refused(f, &map, 1, "empty");
    map = map_of(f, 0, 1, 0);
    map.size = 100;
    refused(f, &map, 1, "whole pages");
    map = map_of(f, 0, 1, 0);
    map.gpa = 1;
    refused(f, &map, 1, "whole pages");
    map = map_of(f, 0, 1, 0);
    map.offset = 512;
    refused(f, &map, 1, "whole pages");
    map = map_of(f, 0, 2, 0);
    map.gpa = -(uint64_t)PAGE;
    refused(f, &map, 1, "wraps");
    map = map_of(f, 0, 16, 1);
    refused(f, &map, 1, "beyond the file's end");
    map = map_of(f, 0, 1, 0);
    map.offset = -(uint64_t)PAGE;
    refused(f, &map, 1, "beyond the file's end");
    map.offset = INT64_MAX / PAGE * PAGE;
    refused(f, &map, 1, "beyond the file's end");
    map = map_of(f, 0, 1, 0);
    map.size = -(uint64_t)PAGE;
    refused(f, &map, 1, "beyond the file's end");
    refused(f, two, 2, "overlaps");
    two[1].gpa = two[0].gpa;
    refused(f, two, 2, "overlaps");
}

static void test_refused_fd(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap map = map_of(f, 0, 1, 0);
    AUTO_FD null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    AUTO_FD ro_fd = -1;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", f->fd);
    int pipefd[2];

    map.fd = -1;
    refused(f, &map, 1, "no descriptor");
    map.fd = null_fd;
    refused(f, &map, 1, "not a file");
    g_assert_cmpint(pipe(pipefd), ==, 0);
    map.fd = pipefd[0];
    refused(f, &map, 1, "not a file");
    close(pipefd[0]);
    close(pipefd[1]);
    ro_fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(ro_fd, >=, 0);
    map = map_of(f, 0, 1, 1);
    map.fd = ro_fd;
    refused(f, &map, 1, "cannot be mapped");
    map.readonly = true;
    g_assert_true(replace(f, &map, 1));
}

/* A good entry in front of a bad one is not kept. */
static void test_all_or_nothing(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    AUTO_FD ro_fd = -1;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", f->fd);
    GuestMap maps[] = { map_of(f, 0, 1, 0), map_of(f, 4, 1, 1) };

    ro_fd = open(path, O_RDONLY | O_CLOEXEC);
    maps[1].fd = ro_fd; /* passes every check but mmap()'s */
    refused(f, maps, 2, "cannot be mapped");
}

/* ---- reuse, pins ---- */

static void test_reuse(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap maps[] = { map_of(f, 0, 2, 0), map_of(f, 4, 2, 4) };
    AUTO_FD dup_fd = dup(f->fd);
    AUTO_FD other = new_file(16);
    char *low, *high;

    g_assert_true(replace(f, maps, 2));
    low = ptr(f, 0);
    high = ptr(f, 4 * PAGE);
    for (unsigned i = 0; i < 50; i++) {
        maps[0].fd = maps[1].fd = dup_fd;
        g_assert_true(replace(f, maps, 2));
        g_assert_true(ptr(f, 0) == low && ptr(f, 4 * PAGE) == high);
    }
    maps[1].offset += PAGE;
    g_assert_true(replace(f, maps, 2));
    g_assert_true(ptr(f, 0) == low);
    g_assert_cmpint(*(char *)ptr(f, 4 * PAGE), ==, 'f');
    maps[0].fd = other;
    g_assert_cmpint(pwrite(other, "#", 1, 0), ==, 1);
    g_assert_true(replace(f, maps, 2));
    g_assert_cmpint(*(char *)ptr(f, 0), ==, '#');
    maps[0].readonly = true; /* not the same either */
    g_assert_true(replace(f, maps, 2));
    g_assert_cmpint(guest_memory_write(f->mem, 0, "x", 1), ==, -EFAULT);
    g_assert_true(replace(f, maps, 0));
    g_assert_cmpuint(guest_memory_count(f->mem), ==, 0);
}

static bool is_mapped(const void *p)
{
    unsigned char vec;

    return mincore((void *)((uintptr_t)p & ~(uintptr_t)(PAGE - 1)), 1, &vec) == 0;
}

static void test_pin_replace(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap old = map_of(f, 0, 4, 0), new = map_of(f, 0, 4, 4);
    GuestRegion *region;
    size_t len = 1;
    char *p;

    g_assert_true(replace(f, &old, 1));
    p = guest_memory_ptr(f->mem, 0, &len, true, &region);
    guest_region_pin(region);
    guest_region_pin(region);
    g_assert_true(replace(f, &new, 1));
    g_assert_cmpint(*(char *)ptr(f, 0), ==, 'e');
    g_assert_cmpint(*p, ==, 'a');
    guest_region_unpin(region);
    g_assert_true(is_mapped(p));
    guest_region_unpin(region);
    g_assert_false(is_mapped(p));
}

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void test_unmap(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap maps[] = { map_of(f, 0, 2, 0), map_of(f, 2, 2, 2), map_of(f, 6, 2, 6) };
    unsigned done = 0;
    GuestRegion *region;
    size_t len = 1;

    for (unsigned i = 3; i-- > 0;) {
        g_assert_true(guest_memory_map(f->mem, &maps[i], NULL));
    }
    g_assert_cmpint(guest_memory_unmap(f->mem, 0, PAGE, count, &done), ==, -ENOENT);
    g_assert_cmpint(guest_memory_unmap(f->mem, PAGE, 2 * PAGE, count, &done), ==, -ENOENT);
    g_assert_cmpint(guest_memory_unmap(f->mem, 8 * PAGE, PAGE, count, &done), ==, -ENOENT);
    g_assert_cmpuint(done, ==, 0);
    g_assert_cmpint(guest_memory_unmap(f->mem, 0, 2 * PAGE, count, &done), ==, 0);
    g_assert_cmpuint(done, ==, 1);

    g_assert_nonnull(guest_memory_ptr(f->mem, 2 * PAGE, &len, true, &region));
    guest_region_pin(region);
    g_assert_cmpint(guest_memory_unmap(f->mem, 2 * PAGE, 2 * PAGE, count, &done), ==, 0);
    g_assert_null(ptr(f, 2 * PAGE));
    g_assert_cmpuint(done, ==, 1);
    /* the place can be taken again meanwhile */
    g_assert_true(guest_memory_map(f->mem, &maps[1], NULL));
    g_assert_nonnull(ptr(f, 2 * PAGE));
    guest_region_unpin(region);
    g_assert_cmpuint(done, ==, 2);
    g_assert_cmpuint(guest_memory_count(f->mem), ==, 2);
}

static void test_map_overlap(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap map = map_of(f, 4, 2, 0);

    g_assert_true(guest_memory_map(f->mem, &map, NULL));
    for (unsigned page = 2; page <= 6; page++) {
        GuestMap next = map_of(f, page, 2, 0);
        bool fits = page == 2 || page == 6;

        g_assert_true(guest_memory_map(f->mem, &next, NULL) == fits);
    }
    map = map_of(f, 0, 16, 0);
    g_assert_false(guest_memory_map(f->mem, &map, NULL));
    g_assert_cmpuint(guest_memory_count(f->mem), ==, 3);
    g_assert_nonnull(ptr(f, 4 * PAGE));
}

static void test_clear(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    GuestMap map = map_of(f, 0, 1, 0), seen;

    g_assert_true(replace(f, &map, 1));
    g_assert_true(guest_memory_region(f->mem, 0, &seen));
    g_assert_cmpuint(seen.size, ==, PAGE);
    guest_memory_clear(f->mem);
    g_assert_null(ptr(f, 0));
    g_assert_false(guest_memory_region(f->mem, 0, &seen));
}

/* ---- truncated files ---- */

/* Runs fn in a child; its wait status. */
static int in_child(void (*fn)(Fixture *f), Fixture *f)
{
    pid_t pid = fork();
    int status;

    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        signal(SIGBUS, SIG_DFL); /* a sanitizer's handler would hide the signal */
        fn(f);
        _exit(0);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    return status;
}

#define CHILD_CHECK(x)                                                                             \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            dprintf(2, "line %d: %s\n", __LINE__, #x);                                             \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

static void torn_child(Fixture *f)
{
    GuestMap maps[] = { map_of(f, 0, 8, 0), map_of(f, 8, 1, 0) };
    GuestRegion *region;
    size_t len = 1;
    char buf[64] = "?";
    char *p;

    guest_memory_sigbus_init();
    CHILD_CHECK(replace(f, maps, 2));
    p = guest_memory_ptr(f->mem, 4 * PAGE, &len, true, &region);
    guest_region_pin(region);
    CHILD_CHECK(ftruncate(f->fd, PAGE) == 0);

    CHILD_CHECK(guest_memory_read(f->mem, 2 * PAGE, buf, sizeof(buf)) == -EFAULT);
    CHILD_CHECK(guest_memory_read(f->mem, 0, buf, 1) == -EFAULT); /* the whole region is dead */
    CHILD_CHECK(guest_memory_write(f->mem, 0, buf, 1) == -EFAULT);
    CHILD_CHECK(*p == 0);
    *p = 1;
    CHILD_CHECK(guest_memory_read(f->mem, 8 * PAGE, buf, 1) == 0 && buf[0] == 'a');

    /* The same map again: refused while the file is short, and mapped anew once it isn't. */
    CHILD_CHECK(!replace(f, maps, 2));
    CHILD_CHECK(ftruncate(f->fd, 16 * PAGE) == 0);
    CHILD_CHECK(replace(f, maps, 2));
    CHILD_CHECK(guest_memory_read(f->mem, 0, buf, 1) == 0 && buf[0] == 'a');
    guest_region_unpin(region);
    CHILD_CHECK(!is_mapped(p));
}

static void test_torn(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(in_child(torn_child, f), ==, 0);
}

/* The file has its old size back when the map is repeated: still the dead one is not reused. */
static void regrown_child(Fixture *f)
{
    GuestMap map = map_of(f, 0, 8, 0);
    char c = '?';

    guest_memory_sigbus_init();
    CHILD_CHECK(replace(f, &map, 1));
    CHILD_CHECK(ftruncate(f->fd, 0) == 0);
    CHILD_CHECK(guest_memory_read(f->mem, 0, &c, 1) == -EFAULT);
    CHILD_CHECK(ftruncate(f->fd, 8 * PAGE) == 0 && pwrite(f->fd, "z", 1, 0) == 1);
    CHILD_CHECK(replace(f, &map, 1));
    CHILD_CHECK(guest_memory_read(f->mem, 0, &c, 1) == 0 && c == 'z');
}

static void test_regrown(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(in_child(regrown_child, f), ==, 0);
}

/* Also by a write, on a region that has left the table and is only pinned. */
static void torn_pinned_child(Fixture *f)
{
    GuestMap map = map_of(f, 0, 8, 0);
    GuestRegion *region;
    size_t len = 1;
    volatile char *p;

    guest_memory_sigbus_init();
    CHILD_CHECK(replace(f, &map, 1));
    p = guest_memory_ptr(f->mem, 4 * PAGE, &len, true, &region);
    guest_region_pin(region);
    guest_memory_clear(f->mem);
    CHILD_CHECK(ftruncate(f->fd, 0) == 0);
    p[0] = 'x';
    CHILD_CHECK(p[0] == 'x');
    guest_region_unpin(region);
    CHILD_CHECK(!is_mapped((void *)p));
}

static void test_torn_pinned(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    g_assert_cmpint(in_child(torn_pinned_child, f), ==, 0);
}

static void foreign_child(Fixture *f)
{
    volatile char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, f->fd, 0);

    guest_memory_sigbus_init();
    CHILD_CHECK(ftruncate(f->fd, 0) == 0);
    (void)p[0];
}

static void sent_child(Fixture *f G_GNUC_UNUSED)
{
    guest_memory_sigbus_init();
    kill(getpid(), SIGBUS);
}

static void other_thread_child(Fixture *f)
{
    GuestMap map = map_of(f, 0, 8, 0);
    volatile char *p;

    guest_memory_sigbus_init();
    CHILD_CHECK(replace(f, &map, 1));
    p = ptr(f, 0);
    guest_memory_thread_use(NULL);
    CHILD_CHECK(ftruncate(f->fd, 0) == 0);
    (void)p[0];
}

static void test_default_action(Fixture *f, gconstpointer data G_GNUC_UNUSED)
{
    void (*const children[])(Fixture *) = { foreign_child, sent_child, other_thread_child };

    for (unsigned i = 0; i < G_N_ELEMENTS(children); i++) {
        int status;

        g_assert_cmpint(ftruncate(f->fd, 16 * PAGE), ==, 0);
        status = in_child(children[i], f);
        g_assert_true(WIFSIGNALED(status));
        g_assert_cmpint(WTERMSIG(status), ==, SIGBUS);
    }
}

#define TEST(name) g_test_add("/guest-memory/" #name, Fixture, NULL, setup, test_##name, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(read_write);
    TEST(ptr);
    TEST(readonly);
    TEST(top);
    TEST(refused);
    TEST(refused_fd);
    TEST(all_or_nothing);
    TEST(reuse);
    TEST(pin_replace);
    TEST(unmap);
    TEST(map_overlap);
    TEST(clear);
    TEST(torn);
    TEST(regrown);
    TEST(torn_pinned);
    TEST(default_action);
    return g_test_run();
}
