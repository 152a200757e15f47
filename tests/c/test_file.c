/* Atomic files: a target is old and whole or new and whole, and nothing else is ever left in its folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/file.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static char folder[] = "/tmp/cnn_test_file.XXXXXX";

/* Names in the test's folder; each test cleans up after itself. */
static char *in_folder(const char *name) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int entries(const char *path) {
    DIR *dir = opendir(path);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_content(const char *path, const char *text) {
    char buffer[256] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    buffer[fread(buffer, 1, sizeof buffer - 1, file)] = '\0';
    fclose(file);
    assert_string_equal(buffer, text);
}

static cnn_status write_file(const char *path, const char *text) {
    cnn_file file;
    cnn_status status = cnn_file_create(&file, path);
    if (status != CNN_OK) return status;
    fputs(text, file.stream);
    return cnn_file_commit(&file);
}

static unsigned mode_of(const char *path) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    return info.st_mode & 07777;
}

static void assert_message(const char *part) {
    if (!strstr(cnn_error_message(), part)) fail_msg("'%s' is not in '%s'", part, cnn_error_message());
}

static void test_creates_and_replaces(void **state) {
    (void)state;
    char *path = in_folder("new");
    assert_int_equal(write_file(path, "one"), CNN_OK);
    assert_content(path, "one");
    assert_int_equal(write_file(path, "two"), CNN_OK);
    assert_content(path, "two");
    assert_int_equal(entries(folder), 1);
    unlink(path);
}

static void test_target_is_untouched_until_commit(void **state) {
    (void)state;
    char *path = in_folder("target");
    put(path, "old");
    cnn_file file;
    assert_int_equal(cnn_file_create(&file, path), CNN_OK);
    fputs("new", file.stream);
    fflush(file.stream);
    assert_content(path, "old");
    cnn_file_abandon(&file);
    cnn_file_abandon(&file);
    assert_content(path, "old");
    assert_int_equal(entries(folder), 1);
    assert_int_equal(cnn_file_commit(&file), CNN_ERROR_STATE);
    unlink(path);
}

static void test_mode(void **state) {
    (void)state;
    char *path = in_folder("mode");
    mode_t mask = umask(027);
    assert_int_equal(write_file(path, "new"), CNN_OK);
    assert_int_equal(mode_of(path), 0640); /* new files obey the umask */
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(write_file(path, "newer"), CNN_OK);
    assert_int_equal(mode_of(path), 0666); /* replaced ones keep theirs */
    umask(mask);
    unlink(path);
}

static void test_symbolic_links_stay(void **state) {
    (void)state;
    char *real = in_folder("sub/real"), *first = in_folder("first"), *second = in_folder("sub/second");
    struct stat info;
    assert_int_equal(mkdir(in_folder("sub"), 0777), 0);
    assert_int_equal(symlink("real", second), 0); /* relative to its own folder */
    assert_int_equal(symlink("sub/second", first), 0);
    assert_int_equal(write_file(first, "made"), CNN_OK); /* through dangling links */
    assert_content(real, "made");
    assert_int_equal(write_file(first, "again"), CNN_OK);
    assert_content(real, "again");
    assert_true(lstat(first, &info) == 0 && S_ISLNK(info.st_mode));
    assert_true(lstat(second, &info) == 0 && S_ISLNK(info.st_mode));
    unlink(second);
    real = in_folder("sub/real");
    second = in_folder("sub/second");
    assert_int_equal(symlink(real, second), 0); /* absolute */
    assert_int_equal(write_file(second, "third"), CNN_OK);
    assert_content(real, "third");
    unlink(first);
    unlink(second);
    assert_int_equal(entries(in_folder("sub")), 1);
    unlink(real);
    rmdir(in_folder("sub"));
}

static void test_link_loop(void **state) {
    (void)state;
    char *path = in_folder("loop");
    assert_int_equal(symlink("loop", path), 0);
    assert_int_equal(write_file(path, "x"), CNN_ERROR_IO);
    assert_message("loop");
    unlink(path);
    assert_int_equal(entries(folder), 0);
}

static void test_bad_targets(void **state) {
    (void)state;
    assert_int_equal(write_file("", "x"), CNN_ERROR_ARGUMENT);
    assert_int_equal(write_file(folder, "x"), CNN_ERROR_IO);
    assert_message("directory");
    assert_message(folder);
    assert_int_equal(write_file(in_folder("none/file"), "x"), CNN_ERROR_IO);
    assert_message("none/file");
    assert_int_equal(entries(folder), 0);
}

static void test_long_names(void **state) {
    (void)state;
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    assert_int_equal(write_file(in_folder(name), "long"), CNN_OK);
    assert_content(in_folder(name), "long");
    unlink(in_folder(name));
}

static void test_device_is_written_not_replaced(void **state) {
    (void)state;
    struct stat info;
    assert_int_equal(write_file("/dev/null", "x"), CNN_OK);
    assert_true(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
    cnn_file file;
    assert_int_equal(cnn_file_reserve(&file, "/dev/null"), CNN_ERROR_IO);
    assert_message("regular file");
    assert_true(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
}

static void test_full_device(void **state) {
    (void)state;
    assert_int_equal(write_file("/dev/full", "x"), CNN_ERROR_IO);
    assert_message("No space left");
}

/* A file-size limit stands for a full disk where none can be mounted: writes fail with EFBIG in the same
 * places. */
static void test_full_disk_keeps_old_file(void **state) {
    (void)state;
    char *path = in_folder("full");
    put(path, "old");
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    cnn_file file;
    cnn_status created = cnn_file_create(&file, path), status = CNN_OK;
    if (created == CNN_OK) {
        for (int i = 0; i < 100000; i++) fputc('x', file.stream);
        status = cnn_file_commit(&file);
    }
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, handler);
    assert_int_equal(created, CNN_OK);
    assert_int_equal(status, CNN_ERROR_IO);
    assert_message(path);
    assert_content(path, "old");
    assert_int_equal(entries(folder), 1);
    unlink(path);
}

static void test_full_file_system(void **state) {
    (void)state;
    char *disk = in_folder("disk"), *path = in_folder("disk/file");
    assert_int_equal(mkdir(disk, 0777), 0);
    if (mount("none", disk, "tmpfs", 0, "size=64k") != 0) {
        rmdir(disk);
        skip(); /* mounting needs root */
    }
    put(path, "old");
    char *text = malloc(200001);
    assert_non_null(text);
    memset(text, 'x', 200000);
    text[200000] = '\0';
    cnn_status status = write_file(path, text);
    free(text);
    assert_content(path, "old");
    int left = entries(disk);
    umount2(disk, MNT_DETACH);
    rmdir(disk);
    assert_int_equal(status, CNN_ERROR_IO);
    assert_message("disk full");
    assert_int_equal(left, 1);
}

/* While the file is written its target becomes a folder: rename refuses. */
static void test_rename_failure(void **state) {
    (void)state;
    char *path = in_folder("taken"), *inside = in_folder("taken/inside");
    cnn_file file;
    assert_int_equal(cnn_file_create(&file, path), CNN_OK);
    fputs("new", file.stream);
    assert_int_equal(mkdir(path, 0777), 0);
    put(inside, "old");
    assert_int_equal(cnn_file_commit(&file), CNN_ERROR_IO);
    assert_message("taken");
    assert_content(inside, "old");
    assert_int_equal(entries(folder), 1);
    unlink(inside);
    rmdir(path);
}

static void test_temporary_taken_away(void **state) {
    (void)state;
    char *path = in_folder("target");
    put(path, "old");
    cnn_file file;
    assert_int_equal(cnn_file_create(&file, path), CNN_OK);
    unlink(file.temporary);
    assert_int_equal(cnn_file_commit(&file), CNN_ERROR_IO);
    assert_int_equal(cnn_file_reserve(&file, path), CNN_OK);
    unlink(file.temporary);
    assert_int_equal(cnn_file_commit(&file), CNN_ERROR_IO);
    assert_content(path, "old");
    unlink(path);
}

/* Root may read and write anything, so for these tests it is nobody. */
static void become(uid_t user) {
    if (getuid() == 0) assert_int_equal(seteuid(user), 0);
}

enum { NOBODY = 65534 };

static void test_read_only_folder_and_file(void **state) {
    (void)state;
    char *path = in_folder("locked");
    put(path, "old");
    assert_int_equal(chmod(path, 0444), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    become(NOBODY);
    cnn_status file = write_file(path, "new");
    become(0);
    assert_int_equal(file, CNN_ERROR_IO);
    assert_message("ermission");
    assert_int_equal(chmod(folder, 0555), 0);
    become(NOBODY);
    cnn_status other = write_file(in_folder("other"), "new");
    become(0);
    assert_int_equal(other, CNN_ERROR_IO);
    assert_message("other: Permission");
    assert_int_equal(chmod(folder, 0700), 0);
    assert_content(path, "old");
    assert_int_equal(entries(folder), 1);
    unlink(path);
}

/* As root, that is: a file of another's stays that other's. */
static void test_owner(void **state) {
    (void)state;
    if (getuid() != 0) skip();
    char *path = in_folder("owned");
    struct stat info;
    put(path, "old");
    assert_int_equal(chown(path, NOBODY, NOBODY), 0);
    assert_int_equal(chmod(path, 04750), 0);
    assert_int_equal(write_file(path, "new"), CNN_OK);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_uid, NOBODY);
    assert_int_equal(info.st_mode & 07777, 04750);
    unlink(path);
}

static void test_reserve(void **state) {
    (void)state;
    char *path = in_folder("reserved");
    put(path, "old");
    assert_int_equal(chmod(path, 0604), 0);
    cnn_file file;
    assert_int_equal(cnn_file_reserve(&file, path), CNN_OK);
    assert_null(file.stream);
    put(file.temporary, "written by name");
    assert_int_equal(cnn_file_commit(&file), CNN_OK);
    assert_content(path, "written by name");
    assert_int_equal(cnn_file_reserve(&file, path), CNN_OK);
    char *other = in_folder("other"); /* a library that renames a file of its own over the temporary */
    put(other, "renamed");
    assert_int_equal(chmod(other, 0600), 0);
    assert_int_equal(rename(other, file.temporary), 0);
    assert_int_equal(cnn_file_commit(&file), CNN_OK);
    assert_content(path, "renamed");
    assert_int_equal(mode_of(path), 0604);
    assert_int_equal(cnn_file_reserve(&file, path), CNN_OK);
    cnn_file_abandon(&file);
    assert_int_equal(entries(folder), 1);
    unlink(path);
}

static bool fail_at(size_t size, void *data) {
    (void)size;
    return (*(int *)data)-- == 0;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    char *path = in_folder("link");
    assert_int_equal(symlink("memory", path), 0);
    size_t before = cnn_memory_used();
    int failures = 0;
    for (cnn_status status = CNN_ERROR_MEMORY; status != CNN_OK; failures++) {
        int countdown = failures;
        cnn_set_alloc_hook(fail_at, &countdown);
        status = write_file(path, "x");
        cnn_set_alloc_hook(NULL, NULL);
        assert_true(status == CNN_OK || status == CNN_ERROR_MEMORY);
        assert_int_equal(entries(folder), status == CNN_OK ? 2 : 1);
        assert_int_equal(cnn_memory_used(), before);
    }
    assert_true(failures > 3);
    unlink(path);
    unlink(in_folder("memory"));
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder); /* fails if a test left anything */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_creates_and_replaces),
        cmocka_unit_test(test_target_is_untouched_until_commit),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_symbolic_links_stay),
        cmocka_unit_test(test_link_loop),
        cmocka_unit_test(test_bad_targets),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_device_is_written_not_replaced),
        cmocka_unit_test(test_full_device),
        cmocka_unit_test(test_full_disk_keeps_old_file),
        cmocka_unit_test(test_full_file_system),
        cmocka_unit_test(test_rename_failure),
        cmocka_unit_test(test_temporary_taken_away),
        cmocka_unit_test(test_read_only_folder_and_file),
        cmocka_unit_test(test_owner),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
