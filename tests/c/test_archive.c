/* Zip archives: what is written is read again, by us and by others; damaged and hostile files are refused by name, and
 * cost no more memory than they are worth. */
#include "files.h"

#include "base/memory.h"
#include "io/archive.h"

#include <sys/stat.h>

enum { LONG = 300000 };

static char repeated[LONG];

/* Four members: text, nothing, a long one with a head, and a name that is not ASCII. */
static cnn_status write_members(const char *path, bool compress) {
    for (int i = 0; i < LONG; i++) repeated[i] = (char)(i % 251);
    cnn_member members[] = {
        {.name = "config.json", .bytes = "{\"a\": 1}", .size = 8},
        {.name = "empty", .bytes = NULL, .size = 0},
        {.name = "_layer/long", .head = "head", .head_size = 4, .bytes = repeated, .size = LONG},
        {.name = "größe", .head = "only a head", .head_size = 11}};
    return cnn_archive_write(path, members, 4, compress);
}

static void assert_member(cnn_archive *archive, const char *name, const void *bytes, size_t size) {
    void *got = NULL;
    size_t got_size = 0;
    int index = cnn_archive_find(archive, name);
    assert_true(index >= 0);
    OK(cnn_archive_read(&got, &got_size, archive, index));
    assert_int_equal(got_size, size);
    if (size > 0) assert_memory_equal(got, bytes, size);
    assert_int_equal(((char *)got)[size], 0);
    cnn_free(got);
}

/* Reads all members; the first failure counts. */
static cnn_status read_all(const char *path) {
    cnn_archive *archive = NULL;
    cnn_status status = cnn_archive_open(&archive, path);
    if (status != CNN_OK) return status;
    for (int i = 0; i < cnn_archive_count(archive) && status == CNN_OK; i++) {
        void *bytes = NULL;
        size_t size;
        assert_non_null(cnn_archive_name(archive, i));
        status = cnn_archive_read(&bytes, &size, archive, i);
        if (status == CNN_OK) cnn_free(bytes);
    }
    cnn_archive_close(archive);
    return status;
}

static void what_is_written_is_read(void **state) {
    (void)state;
    char *path = in_folder("a.zip");
    size_t sizes[2];
    for (int compress = 0; compress < 2; compress++) {
        OK(write_members(path, compress));
        cnn_archive *archive = NULL;
        OK(cnn_archive_open(&archive, path));
        assert_int_equal(cnn_archive_count(archive), 4);
        assert_string_equal(cnn_archive_name(archive, 2), "_layer/long");
        assert_int_equal(cnn_archive_find(archive, "nothing"), -1);
        assert_member(archive, "config.json", "{\"a\": 1}", 8);
        assert_member(archive, "empty", "", 0);
        assert_member(archive, "größe", "only a head", 11);
        char *whole = malloc(LONG + 4);
        memcpy(whole, "head", 4);
        memcpy(whole + 4, repeated, LONG);
        assert_member(archive, "_layer/long", whole, LONG + 4);
        free(whole);
        cnn_archive_close(archive);
        free(get(path, &sizes[compress]));
    }
    assert_true(sizes[0] > LONG && sizes[1] < LONG / 10);
    unlink(path);
}

static void the_same_members_give_the_same_bytes(void **state) {
    (void)state;
    char *path = in_folder("a.zip"), *other = in_folder("b.zip");
    size_t size;
    setenv("TZ", "Pacific/Auckland", 1);
    OK(write_members(path, true));
    setenv("TZ", "America/New_York", 1);
    OK(write_members(other, true));
    unsetenv("TZ");
    uint8_t *bytes = get(path, &size);
    assert_file(other, bytes, size);
    free(bytes);
    unlink(path);
    unlink(other);
}

static void python_reads_it(void **state) {
    (void)state;
    for (int compress = 0; compress < 2; compress++) {
        OK(write_members(in_folder("a.zip"), compress));
        python("zipfile",
               "import zipfile\n"
               "z = zipfile.ZipFile('a.zip')\n"
               "assert z.testzip() is None\n"
               "assert z.namelist() == ['config.json', 'empty', '_layer/long', 'größe'], z.namelist()\n"
               "assert z.read('config.json') == b'{\"a\": 1}' and z.read('empty') == b''\n"
               "assert z.read('_layer/long') == b'head' + bytes(i % 251 for i in range(300000))\n"
               "assert all(i.date_time == (1980, 1, 1, 0, 0, 0) for i in z.infolist())\n"
               "assert all(i.external_attr >> 16 == 0o100644 for i in z.infolist())\n");
    }
    unlink(in_folder("a.zip"));
}

static void what_python_writes_is_read(void **state) {
    (void)state;
    python("zipfile",
           "import zipfile, io\n"
           "with zipfile.ZipFile('a.zip', 'w') as z:\n"
           "    z.writestr('stored', b'12345')\n"
           "    z.writestr('deflated', bytes(100000), zipfile.ZIP_DEFLATED)\n"
           "    with z.open('zip64', 'w', force_zip64=True) as f: f.write(b'abc')\n"
           "class Pipe(io.RawIOBase):\n" /* sizes only after the members, as streams have them */
           "    def writable(self): return True\n"
           "    def write(self, b): return out.write(b)\n"
           "with open('streamed.zip', 'wb') as out, zipfile.ZipFile(Pipe(), 'w') as z:\n"
           "    z.writestr('a', b'streamed', zipfile.ZIP_DEFLATED)\n"
           "with zipfile.ZipFile('bzip2.zip', 'w', zipfile.ZIP_BZIP2) as z: z.writestr('a', bytes(99))\n"
           "zipfile.ZipFile('none.zip', 'w').close()\n");
    cnn_archive *archive = NULL;
    OK(cnn_archive_open(&archive, in_folder("a.zip")));
    assert_member(archive, "stored", "12345", 5);
    assert_member(archive, "zip64", "abc", 3);
    char *zeros = calloc(1, 100000);
    assert_member(archive, "deflated", zeros, 100000);
    free(zeros);
    cnn_archive_close(archive);
    OK(cnn_archive_open(&archive, in_folder("streamed.zip")));
    assert_member(archive, "a", "streamed", 8);
    cnn_archive_close(archive);
    OK(cnn_archive_open(&archive, in_folder("none.zip")));
    assert_int_equal(cnn_archive_count(archive), 0);
    cnn_archive_close(archive);
    assert_fails(read_all(in_folder("bzip2.zip")), CNN_ERROR_FORMAT,
                 "the member a is compressed by method 12");
}

static void keras_archives_open(void **state) {
    (void)state;
    const char *data = getenv("CNNLUA_DATA"),
               *names[] = {"mnist_conv2_keras3.1", "mnist_batchnorm_keras3.13", "mnist_deep_keras3.13"};
    char path[512];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/../keras_models/%s.keras", data ? data : "", names[i]);
        if (!data || access(path, R_OK) != 0) {
            print_message("no files of Keras here (CNNLUA_DATA)\n");
            skip();
        }
        cnn_archive *archive = NULL;
        OK(cnn_archive_open(&archive, path));
        assert_true(cnn_archive_find(archive, "config.json") >= 0);
        assert_true(cnn_archive_find(archive, "model.weights.h5") >= 0);
        cnn_archive_close(archive);
        OK(read_all(path));
    }
}

/* ---- refusals ----------------------------------------------------------------------------------------------- */

static void members_that_cannot_be_are_refused(void **state) {
    (void)state;
    char *path = in_folder("a.zip"), name[70000];
    cnn_member twice[] = {{.name = "a", .bytes = "1", .size = 1}, {.name = "a", .bytes = "2", .size = 1}};
    put(path, "old", 3);
    assert_fails(cnn_archive_write(path, twice, 2, false), CNN_ERROR_ARGUMENT, "two members are named 'a'");
    assert_fails(cnn_archive_write(path, twice, 0, false), CNN_ERROR_ARGUMENT, "one member at least");
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    twice[1].name = name;
    assert_fails(cnn_archive_write(path, twice, 2, false), CNN_ERROR_ARGUMENT, "1 to 65535 bytes, got 69999");
    twice[1].name = "";
    assert_fails(cnn_archive_write(path, twice, 2, false), CNN_ERROR_ARGUMENT, "1 to 65535 bytes, got 0");
    twice[1].name = "\xff\xfe";
    assert_fails(cnn_archive_write(path, twice, 2, false), CNN_ERROR_ARGUMENT, "cannot add");
    twice[1].name = "b";
    assert_fails(cnn_archive_write(in_folder("none/a.zip"), twice, 2, false), CNN_ERROR_IO, "none/a.zip");
    assert_file(path, "old", 3);
    unlink(path);
}

static void what_is_no_archive_is_refused(void **state) {
    (void)state;
    char *path = in_folder("file");
    cnn_archive *archive = (cnn_archive *)path;
    assert_fails(cnn_archive_open(&archive, path), CNN_ERROR_IO, "No such file");
    assert_fails(cnn_archive_open(&archive, folder), CNN_ERROR_IO, "expected a file, got a folder");
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(cnn_archive_open(&archive, path), CNN_ERROR_IO, "pipe");
    unlink(path);
    put(path, "", 0);
    assert_fails(cnn_archive_open(&archive, path), CNN_ERROR_FORMAT, "is not a zip archive");
    put(path, "only a text, of some length, and no archive at all", 50);
    assert_fails(cnn_archive_open(&archive, path), CNN_ERROR_FORMAT, path);
    assert_ptr_equal(archive, path);
    unlink(path);
}

/* The place of the n-th central header (of 46 bytes and the name) in the bytes. */
static uint8_t *central(uint8_t *bytes, size_t size, int n) {
    for (size_t i = 0; i + 46 < size; i++)
        if (memcmp(bytes + i, "PK\1\2", 4) == 0 && n-- == 0) return bytes + i;
    fail();
    return NULL;
}

static void set_word(uint8_t *at, uint32_t word) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(word >> 8 * i);
}

enum { FLAGS = 8, COMPRESSED = 20, SIZE = 24 };

/* A small archive with something changed, in damaged.zip. */
static void assert_refused(bool compress, int member, int field, uint32_t word, const char *message) {
    size_t size;
    char *path = in_folder("a.zip"), *damaged = in_folder("damaged.zip");
    cnn_member members[] = {{.name = "one", .bytes = "111111111111", .size = 12},
                            {.name = "two", .bytes = "222222222222", .size = 12}};
    OK(cnn_archive_write(path, members, 2, compress));
    uint8_t *bytes = get(path, &size);
    set_word(central(bytes, size, member) + field, word);
    put(damaged, bytes, size);
    free(bytes);
    largest_block = 0;
    cnn_set_alloc_hook(note_size, NULL);
    cnn_status status = read_all(damaged);
    cnn_set_alloc_hook(NULL, NULL);
    assert_fails(status, CNN_ERROR_FORMAT, message);
    assert_non_null(strstr(cnn_error_message(), damaged));
    assert_true(largest_block < 1000000);
    unlink(path);
    unlink(damaged);
}

static void members_that_lie_are_refused(void **state) {
    (void)state;
    assert_refused(false, 1, FLAGS, 1, "the member two is encrypted");
    assert_refused(false, 1, SIZE, 0x7fffffff, "12 bytes cannot become 2147483647");
    assert_refused(true, 1, SIZE, 0x7fffffff, "cannot become 2147483647");
    assert_refused(false, 0, COMPRESSED, 0x7fffffff, "its members are longer than the file");
    assert_refused(false, 0, COMPRESSED, 200, "its members are longer than the file");
    assert_refused(true, 0, SIZE, 11, "the member one is");
    assert_refused(true, 0, SIZE, 13, "the member one is");
    assert_refused(true, 1, SIZE - 8, 12345, "the member two is damaged (CRC error)");
}

static void changed_bytes_fail_the_checksum(void **state) {
    (void)state;
    size_t size;
    char *path = in_folder("a.zip");
    OK(write_members(path, false));
    uint8_t *bytes = get(path, &size);
    memcpy(memmem(bytes, size, "only a head", 11), "ONLY", 4);
    put(path, bytes, size);
    free(bytes);
    assert_fails(read_all(path), CNN_ERROR_FORMAT, "the member größe is damaged");
    unlink(path);
}

/* Gives the archive the end that archives of more than 65535 members or 4 GiB have, with its 64-bit sizes. */
static void make_zip64(const char *path) {
    size_t size;
    uint8_t *bytes = get(path, &size), *whole = calloc(1, size + 76);
    size_t end = size - 22;
    uint8_t *record = whole + end, *locator = record + 56;
    memcpy(whole, bytes, end);
    memcpy(record, "PK\6\6\54\0\0\0\0\0\0\0\55\0\55", 15);
    record[24] = record[32] = bytes[end + 10]; /* members */
    memcpy(record + 40, bytes + end + 12, 4);  /* size of the central directory */
    memcpy(record + 48, bytes + end + 16, 4);  /* and its place */
    memcpy(locator, "PK\6\7", 4);
    set_word(locator + 8, (uint32_t)end);
    locator[16] = 1;
    memcpy(locator + 20, "PK\5\6", 4);
    memset(locator + 28, 0xff, 12);
    put(path, whole, size + 76);
    free(bytes);
    free(whole);
}

static void damaged_archives_do_no_harm(void **state) {
    (void)state;
    char *path = in_folder("small.zip");
    cnn_member members[] = {{.name = "one", .bytes = repeated, .size = 40},
                            {.name = "d/two", .bytes = "2", .size = 1}};
    for (int kind = 0; kind < 3; kind++) {
        OK(cnn_archive_write(path, members, 2, kind > 0));
        if (kind == 2) make_zip64(path);
        damage(path, read_all, 1 << 20);
    }
    unlink(path);
}

/* ---- memory, disk, interruption ----------------------------------------------------------------------------- */

static cnn_status write_and_read(cnn_tensor **out, void *path) {
    (void)out;
    cnn_member member = {.name = "a", .bytes = "bytes", .size = 5};
    cnn_status status = cnn_archive_write(path, &member, 1, true);
    return status == CNN_OK ? read_all(path) : status;
}

static void memory_that_runs_out_leaks_nothing(void **state) {
    (void)state;
    assert_survives(write_and_read, in_folder("a.zip"));
    unlink(in_folder("a.zip"));
    assert_int_equal(entries(), 0);
}

static cnn_status save_members(const char *path, void *data) {
    (void)data;
    return write_members(path, false);
}

static void a_full_disk_keeps_the_old_file(void **state) {
    (void)state;
    assert_keeps_old(in_folder("a.zip"), save_members, NULL);
}

static void an_interruption_ends_it(void **state) {
    (void)state;
    char *path = in_folder("a.zip"), *other = in_folder("b.zip");
    OK(write_members(path, true));
    cnn_interrupt();
    cnn_status written = write_members(other, true), read = read_all(path);
    cnn_interrupt_clear();
    assert_int_equal(written, CNN_ERROR_INTERRUPTED);
    assert_int_equal(read, CNN_ERROR_INTERRUPTED);
    assert_int_not_equal(access(other, F_OK), 0);
    unlink(path);
    assert_int_equal(entries(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(the_same_members_give_the_same_bytes),
        cmocka_unit_test(members_that_cannot_be_are_refused),
        cmocka_unit_test(what_is_no_archive_is_refused),
        cmocka_unit_test(members_that_lie_are_refused),
        cmocka_unit_test(changed_bytes_fail_the_checksum),
        cmocka_unit_test(damaged_archives_do_no_harm),
        cmocka_unit_test(memory_that_runs_out_leaks_nothing),
        cmocka_unit_test(a_full_disk_keeps_the_old_file),
        cmocka_unit_test(an_interruption_ends_it),
        cmocka_unit_test(keras_archives_open),
        cmocka_unit_test(python_reads_it),
        cmocka_unit_test(what_python_writes_is_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
