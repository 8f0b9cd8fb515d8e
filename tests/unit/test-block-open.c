/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening: what each spelling makes of a node, and what is refused, with which words. Paths in the
 * tables are relative to a folder that the test makes and enters.
 */
#include "block-harness.h"

typedef struct Refused {
    const char *text;
    const char *words; /* must be in the error */
} Refused;

static const Refused drives[] = {
    { "if=none,id=x,file=nosuch,format=raw", "Could not open 'nosuch': No such file" },
    { "if=none,id=x,file=dir,format=raw", "Could not open 'dir': Is a directory" },
    { "if=none,id=x,file=fifo,format=raw", "'fifo' is not a regular file" },
    { "if=none,id=x,format=raw", "Option 'file' is missing" },
    { "if=none,id=x,format=raw,file=a.img,detect-zeroes=unmap",
      "setting detect-zeroes to unmap is not allowed without" },
    { "if=none,id=x,format=raw,file=a.img,detect-zeroes=maybe", "detect-zeroes" },
    { "if=none,id=x", "Option 'file' is missing" },
    { "if=none,id=x,file=,format=raw", "Option 'file' is missing" },
    { "if=ide,id=x,file=a.img,format=raw", "if=ide is not supported" },
    { "if=none,id=x,file=a.img,format=bogus", "Unknown image format 'bogus'" },
    { "if=none,id=x,file=a.img,format=qcow2", "'a.img' is not a qcow2 image" },
    { "if=none,id=x,file=a.img,format=raw,driver=raw", "exclude each other" },
    { "if=none,id=x,file=a.img,format=raw,cache=bogus", "cache=bogus: expected none" },
    { "if=none,id=x,file=a.img,format=raw,cache.writeback=perhaps", "cache.writeback" },
    { "if=none,id=x,file=a.img,format=raw,aio=bogus", "'aio'" },
    { "if=none,id=x,file=a.img,format=raw,aio=native", "aio=native needs cache.direct=on" },
    { "if=none,id=x,file=a.img,format=raw,discard=bogus", "'discard'" },
    { "if=none,id=x,file=a.img,format=raw,media=bogus", "media=bogus: expected disk or cdrom" },
    { "if=none,id=x,file=a.img,format=raw,read-only=maybe", "'read-only' expects" },
    { "if=none,id=x,file=a.img,format=raw,readonly=maybe", "'read-only' expects" },
    { "if=none,id=x,file=a.img,format=raw,bogus=1", "'raw' has no option 'bogus'" },
    { "if=none,id=x,file=a.img,format=raw,locking=off", "'raw' has no option 'locking'" },
    { "if=none,id=x,file=a.img,format=raw,file.bogus=1", "'file' has no option 'bogus'" },
    { "if=none,id=x,file=a.img,format=raw,file.locking=bogus", "'locking'" },
    { "if=none,id=x,file=a.img,format=raw,werror=stop", "werror=stop is not supported" },
    { "if=none,id=x,file=a.img,format=raw,snapshot=on", "snapshot=on is not supported" },
    { "if=none,id=x,file=a.img,format=raw,node-name=1x", "Invalid node-name '1x'" },
    { "if=none,id=1x,file=a.img,format=raw", "Invalid id '1x'" },
    { "if=none,id=x,file=a.img,format=raw,file.filename=b.img", "exclude each other" },
    { "if=none,id=x,file=a.img,format=file,file.locking=off", "'file.locking' needs a format" },
    { "if=none,id=x,file=nbd:unix:/x,format=raw", "Unknown protocol 'nbd'" },
    { "if=none,id=x,file=a.img,format=host_device", "'a.img' is not a block device" },
    { "if=none,id=x,file=/dev/null,format=raw", "'/dev/null' is not a regular file" },
    { "if=none,id=x,file=q.img", "'q.img' is not a valid qcow2 image" },
    { "if=none,id=x,file=qed.img", "'qed.img' looks like a qed image" },
    { "if=none,id=taken,file=a.img,format=raw", "Duplicate ID 'taken' for drive" },
    { "if=none,id=x,file=a.img,format=raw,node-name=node", "Duplicate node-name 'node'" },
    { "if=none,id=node,file=a.img,format=raw", "Duplicate node-name 'node'" },
    { "if=none,id=x,file=a.img,format=raw,node-name=taken", "Duplicate ID 'taken' for drive" },
};

static const Refused blockdevs[] = {
    { "node-name=r,file.driver=file,file.filename=a.img", "Option 'driver' is missing" },
    { "driver=raw,file.driver=file,file.filename=a.img", "Option 'node-name' is missing" },
    { "driver=bogus,node-name=r", "Unknown block driver 'bogus'" },
    { "driver=raw,node-name=r", "Option 'file' is missing" },
    { "driver=raw,node-name=r,file=nope", "no block node 'nope'" },
    { "driver=raw,node-name=r,file=node,file.driver=file", "exclude each other" },
    { "driver=raw,node-name=r,file.filename=a.img", "Option 'driver' is missing" },
    { "driver=raw,node-name=r,file.driver=file,file.filename=a.img,file.bogus=2",
      "'file' has no option 'bogus'" },
    { "driver=raw,node-name=r,bogus=2,file.driver=file,file.filename=a.img",
      "'raw' has no option 'bogus'" },
    { "driver=file,node-name=r", "Option 'filename' is missing" },
    { "driver=file,node-name=r,filename=a.img,bogus=1", "'file' has no option 'bogus'" },
    { "driver=file,node-name=r,filename=a.img,read-only=maybe", "'read-only' expects" },
    { "driver=file,node-name=r,filename=a.img,discard=on", "'discard'" },
    { "driver=file,node-name=r,filename=a.img,aio=native", "aio=native needs cache.direct=on" },
    { "driver=file,node-name=r,filename=a.img,cache.writeback=on", "cache.writeback" },
    { "driver=file,node-name=node,filename=a.img", "Duplicate node-name 'node'" },
    { "driver=file,node-name=a-name-of-more-than-thirty-one-characters,filename=a.img",
      "Invalid node-name" },
    { "driver=file,node-name=#block7,filename=a.img", "Invalid node-name" },
    { "driver=file,node-name=r,filename=dir", "Is a directory" },
    { "driver=file,node-name=r,filename=/dev/null", "not a regular file" },
    { "driver=host_device,node-name=r,filename=a.img", "not a block device" },
    { "{\"driver\":\"raw\",\"node-name\":\"r\",\"file\":{\"driver\":\"file\"}}",
      "Option 'filename' is missing" },
};

typedef struct Place {
    char *dir;
    char *cwd;
    BlockGraph *graph;
} Place;

static void place_enter(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const images[] = { "a.img", "b.img", "q.img", "qed.img" };

    p->cwd = g_get_current_dir();
    p->dir = make_dir();
    g_assert_cmpint(chdir(p->dir), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(images); i++) {
        g_free(make_image(p->dir, images[i], 1 << 20));
    }
    g_assert_true(g_file_set_contents("q.img", "QFI\xfb\0\0\0\3", 8, NULL));
    g_assert_true(g_file_set_contents("qed.img", "QED\0", 4, NULL));
    g_assert_cmpint(mkdir("dir", 0777), ==, 0);
    g_assert_cmpint(mkfifo("fifo", 0666), ==, 0);
    p->graph = block_graph_new(all_drivers, all_engines);
}

static void place_leave(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    block_graph_free(p->graph);
    g_assert_cmpint(chdir(p->cwd), ==, 0);
    g_free(p->cwd);
    remove_dir(p->dir);
}

static void check_refused(Place *p, bool drive, const Refused *table, unsigned n)
{
    open_text(p->graph, true, NULL, "if=none,id=taken,file=b.img,format=raw");
    open_text(p->graph, false, NULL, "driver=file,node-name=node,filename=b.img");
    for (unsigned i = 0; i < n; i++) {
        g_autoptr(GError) err = NULL;
        BlockNode *node = open_text(p->graph, drive, &err, table[i].text);

        if (node || !strstr(err->message, table[i].words)) {
            g_test_message("%s: %s", table[i].text, err ? err->message : "opened");
            g_test_fail();
        }
        g_assert_null(strchr(err->message, '\n'));
        /* nothing of it is left */
        g_assert_null(block_find(p->graph, "x"));
        g_assert_null(block_find(p->graph, "r"));
    }
}

static void test_drive_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    check_refused(p, true, drives, G_N_ELEMENTS(drives));
}

static void test_blockdev_refused(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    check_refused(p, false, blockdevs, G_N_ELEMENTS(blockdevs));
}

/* --- what is taken --- */

typedef struct Taken {
    const char *text;
    bool direct, no_flush, write_cache, read_only, can_discard;
} Taken;

#define IMG "id=x,file=a.img,format=raw"

static const Taken taken[] = {
    { IMG, .write_cache = true },
    { "if=none," IMG, .write_cache = true },
    { IMG ",cache=none", .direct = true, .write_cache = true },
    { IMG ",cache=writeback", .write_cache = true },
    { IMG ",cache=writethrough", .write_cache = false },
    { IMG ",cache=directsync", .direct = true },
    { IMG ",cache=unsafe", .no_flush = true, .write_cache = true },
    { IMG ",cache=none,cache.direct=off", .write_cache = true },
    { IMG ",cache.writeback=off", .write_cache = false },
    { IMG ",cache=none,aio=native", .direct = true, .write_cache = true },
    { IMG ",aio=threads", .write_cache = true },
    { IMG ",aio=io_uring", .write_cache = true },
    { IMG ",readonly=on", .write_cache = true, .read_only = true },
    { IMG ",read-only=on", .write_cache = true, .read_only = true },
    { IMG ",media=cdrom", .write_cache = true, .read_only = true },
    { IMG ",media=disk", .write_cache = true },
    { IMG ",discard=unmap", .write_cache = true, .can_discard = true },
    { IMG ",discard=on", .write_cache = true, .can_discard = true },
    { IMG ",discard=off", .write_cache = true },
    { IMG ",file.locking=off", .write_cache = true },
    { IMG ",werror=report,rerror=report", .write_cache = true },
    { "id=x,file=file:a.img,format=raw", .write_cache = true },
    { "id=x,file.filename=a.img,format=raw", .write_cache = true },
    { "id=x,file.driver=file,file.filename=a.img,driver=raw", .write_cache = true },
    { "id=x,file=a.img,format=file", .write_cache = true },
    { "id=x,file=a.img,format=raw,node-name=x", .write_cache = true },
    { "id=x,file=q.img,format=raw", .write_cache = true },
};

static bool no_direct(const char *dir)
{
    g_autofree char *path = make_image(dir, "direct", 4096);
    int fd = open(path, O_RDWR | O_DIRECT);

    close(fd);
    return fd < 0;
}

static void test_drive_taken(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    bool skip_direct = no_direct(p->dir);

    for (unsigned i = 0; i < G_N_ELEMENTS(taken); i++) {
        const Taken *t = &taken[i];
        BlockGraph *graph = block_graph_new(all_drivers, all_engines);
        g_autoptr(GError) err = NULL;
        BlockNode *node;

        if (!t->direct || !skip_direct) {
            node = open_text(graph, true, &err, t->text);
            g_test_message("%s", t->text);
            g_assert_no_error(err);
            g_assert_true(block_find(graph, "x") == node);
            g_assert_cmpint(node->direct, ==, t->direct);
            g_assert_cmpint(node->no_flush, ==, t->no_flush);
            g_assert_cmpint(node->write_cache, ==, t->write_cache);
            g_assert_cmpint(node->read_only, ==, t->read_only);
            g_assert_cmpint(node->can_discard, ==, t->can_discard);
            g_assert_false(node->probed);
            g_assert_false(node->demoted);
            if (node->file) {
                g_assert_cmpint(node->file->direct, ==, t->direct);
                g_assert_cmpint(node->file->read_only, ==, t->read_only);
            }
        }
        block_graph_free(graph);
    }
}

static void test_names(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node = open_text(p->graph, true, NULL, "file=a.img,format=raw");
    BlockNode *both = open_text(p->graph, true, NULL, "id=x,file=b.img,format=raw,node-name=n");

    g_assert_nonnull(node);
    g_assert_true(block_find(p->graph, "none0") == node);
    g_assert_true(block_find(p->graph, "x") == both);
    g_assert_true(block_find(p->graph, "n") == both);
    g_assert_cmpstr(both->name, ==, "n");
    g_assert_null(block_find(p->graph, "y"));
}

static void test_blockdev_spellings(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    static const char *const texts[] = {
        "driver=raw,node-name=r1,read-only=on,file.driver=file,file.filename=a.img",
        "{\"driver\":\"raw\",\"node-name\":\"r2\",\"read-only\":true,"
        "\"file\":{\"driver\":\"file\",\"filename\":\"a.img\",\"aio\":\"threads\"}}",
        "driver=file,node-name=f,filename=a.img,read-only=on",
        "driver=raw,node-name=r3,read-only=on,file=f",
        "driver=raw,node-name=r4,read-only=on,file.driver=raw,file.file.driver=file,"
        "file.file.filename=a.img",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) err = NULL;
        BlockNode *node = open_text(p->graph, false, &err, texts[i]);

        g_assert_no_error(err);
        g_assert_true(node->read_only);
        g_assert_false(node->demoted);
        g_assert_cmpuint(node->size, ==, 1 << 20);
        if (node->file) {
            g_assert_true(node->file->read_only);
        }
    }
    g_assert_true(block_find(p->graph, "r3")->file == block_find(p->graph, "f"));
}

static void test_demoted(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node;

    open_text(p->graph, false, NULL, "driver=file,node-name=f,filename=a.img,read-only=on");
    node = open_text(p->graph, false, NULL, "driver=raw,node-name=r,file=f");
    g_assert_true(node->read_only);
    g_assert_true(node->demoted);
}

static void test_demoted_unwritable(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    bool root = geteuid() == 0; /* who may write everything */
    BlockNode *node;

    g_assert_cmpint(g_chmod("a.img", 0444), ==, 0);
    g_assert_cmpint(g_chmod(p->dir, 0711), ==, 0);
    g_assert_true(!root || seteuid(65534) == 0);
    node = open_text(p->graph, true, NULL, IMG);
    g_assert_true(node->read_only);
    g_assert_true(node->demoted);
    g_assert_null(open_text(p->graph, false, &err, "driver=file,node-name=f,filename=a.img"));
    g_assert_nonnull(strstr(err->message, "Permission denied"));
    g_assert_true(!root || seteuid(0) == 0);
}

static void test_odd_size(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    BlockNode *node;

    g_assert_cmpint(truncate("a.img", 1000), ==, 0);
    node = open_text(p->graph, true, NULL, IMG);
    g_assert_cmpuint(node->size, ==, 1024);
    g_assert_cmpint(truncate("b.img", 0), ==, 0);
    node = open_text(p->graph, true, NULL, "id=y,file=b.img,format=raw");
    g_assert_cmpuint(node->size, ==, 0);
}

static void test_two_loops(Place *p, gconstpointer data G_GNUC_UNUSED)
{
    g_autoptr(GError) err = NULL;
    Loop *one = loop_new("one", NULL);
    Loop *two = loop_new("two", NULL);
    BlockNode *f = open_text(p->graph, false, NULL, "driver=file,node-name=f,filename=a.img");
    BlockNode *a = open_text(p->graph, false, NULL, "driver=raw,node-name=r1,file=f");
    BlockNode *b = open_text(p->graph, false, NULL, "driver=raw,node-name=r2,file=f");

    g_assert_true(block_attach(a, one, NULL));
    g_assert_false(block_attach(a, two, &err));
    g_assert_nonnull(strstr(err->message, "'r1' is in use by another machine"));
    g_clear_error(&err);
    g_assert_false(block_attach(b, two, &err));
    g_assert_nonnull(strstr(err->message, "'f' is in use by another machine"));
    g_assert_null(b->loop);

    g_assert_true(block_attach(b, one, NULL));
    block_detach(a);
    g_assert_true(f->loop == one);
    block_detach(b);
    g_assert_null(f->loop);
    g_assert_true(block_attach(a, two, NULL));
    block_detach(a);
    loop_free(one);
    loop_free(two);
}

#define CASE(name, fn) g_test_add("/block/open/" name, Place, NULL, place_enter, fn, place_leave)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    CASE("drive-refused", test_drive_refused);
    CASE("blockdev-refused", test_blockdev_refused);
    CASE("drive-taken", test_drive_taken);
    CASE("names", test_names);
    CASE("blockdev-spellings", test_blockdev_spellings);
    CASE("demoted", test_demoted);
    CASE("demoted-unwritable", test_demoted_unwritable);
    CASE("odd-size", test_odd_size);
    CASE("two-loops", test_two_loops);
    return g_test_run();
}
