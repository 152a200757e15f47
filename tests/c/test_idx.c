/* IDX files: every type and rank both ways, plain and gzip; every way a file can be wrong is a clear error;
 * and splitting samples in two parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cnn.h"
#include "data/split.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static char folder[] = "/tmp/cnn_test_idx.XXXXXX";

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
    int count = -2;
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

/* mode "wb" writes gzip, "wbT" plain. */
static char *put(const char *mode, const void *bytes, size_t size) {
    char *path = in_folder("file");
    gzFile gz = gzopen(path, mode);
    assert_non_null(gz);
    assert_int_equal(gzwrite(gz, bytes, (unsigned)size), (int)size);
    assert_int_equal(gzclose(gz), Z_OK);
    return path;
}

static void assert_message(const char *part) {
    if (!strstr(cnn_error_message(), part)) fail_msg("'%s' is not in '%s'", part, cnn_error_message());
}

static void assert_fails(const char *path, cnn_status expected, const char *part) {
    cnn_tensor *tensor = NULL;
    size_t before = cnn_memory_used();
    assert_int_equal(cnn_idx_load(&tensor, path), expected);
    assert_null(tensor);
    assert_message(part);
    assert_message(path);
    assert_int_equal(cnn_memory_used(), before);
}

/* ---- good files ---------------------------------------------------------------------------------------- */

static void test_every_type(void **state) {
    (void)state;
    static const struct {
        uint8_t type, bytes[16];
        size_t size;
        cnn_dtype dtype;
        double values[2];
    } cases[] = {
        {0x08, {0x00, 0xFF}, 2, CNN_UINT8, {0, 255}},
        {0x09, {0x80, 0x7F}, 2, CNN_INT32, {-128, 127}},
        {0x0B, {0x80, 0x00, 0x01, 0x02}, 4, CNN_INT32, {-32768, 258}},
        {0x0C, {0x80, 0, 0, 0, 1, 2, 3, 4}, 8, CNN_INT32, {-2147483648.0, 16909060}},
        {0x0D, {0x3F, 0xC0, 0, 0, 0xC0, 0, 0, 0}, 8, CNN_FLOAT32, {1.5, -2}},
        {0x0E, {0x3F, 0xF8, 0, 0, 0, 0, 0, 0, 0xC0, 0, 0, 0, 0, 0, 0, 0}, 16, CNN_FLOAT32, {1.5, -2}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int gzip = 0; gzip < 2; gzip++) {
            uint8_t file[24] = {0, 0, cases[i].type, 1, 0, 0, 0, 2};
            memcpy(file + 8, cases[i].bytes, cases[i].size);
            char *path = put(gzip ? "wb" : "wbT", file, 8 + cases[i].size);
            cnn_tensor *tensor;
            assert_int_equal(cnn_idx_load(&tensor, path), CNN_OK);
            assert_int_equal(tensor->dtype, cases[i].dtype);
            assert_int_equal(tensor->rank, 1);
            assert_int_equal(tensor->shape[0], 2);
            for (int k = 0; k < 2; k++) assert_true(cnn_tensor_get(tensor, k) == cases[i].values[k]);
            cnn_tensor_release(tensor);
            unlink(path);
        }
    }
}

static void assert_round_trip(const cnn_tensor *tensor, const char *name) {
    char *path = in_folder(name);
    cnn_tensor *loaded;
    assert_int_equal(cnn_idx_save(path, tensor), CNN_OK);
    assert_int_equal(cnn_idx_load(&loaded, path), CNN_OK);
    assert_int_equal(loaded->dtype, tensor->dtype);
    assert_true(cnn_same_shape(loaded, tensor));
    assert_memory_equal(loaded->data, tensor->data, cnn_tensor_bytes(tensor) ? cnn_tensor_bytes(tensor) : 1);
    cnn_tensor_release(loaded);
    unlink(path);
}

static void test_every_rank_round_trip(void **state) {
    (void)state;
    const int64_t shape[CNN_MAX_RANK] = {3, 2, 1, 4, 2, 1, 2, 3};
    const cnn_dtype dtypes[] = {CNN_UINT8, CNN_INT32, CNN_FLOAT32};
    for (int rank = 0; rank <= CNN_MAX_RANK; rank++) {
        for (int d = 0; d < 3; d++) {
            cnn_tensor *tensor;
            assert_int_equal(cnn_tensor_new(&tensor, dtypes[d], rank, shape), CNN_OK);
            for (int64_t i = 0; i < tensor->size; i++) cnn_tensor_set(tensor, i, (double)(i * 7 % 256));
            assert_round_trip(tensor, "round");
            assert_round_trip(tensor, "round.gz");
            cnn_tensor_release(tensor);
        }
    }
    assert_int_equal(entries(folder), 0);
}

static void test_big_and_empty_round_trip(void **state) {
    (void)state;
    const int64_t big[] = {1000, 1777}, empty[] = {5, 0, 3};
    const cnn_dtype dtypes[] = {CNN_UINT8, CNN_INT32, CNN_FLOAT32};
    for (int d = 0; d < 3; d++) {
        cnn_tensor *tensor;
        assert_int_equal(cnn_tensor_new(&tensor, dtypes[d], 2, big), CNN_OK);
        for (int64_t i = 0; i < tensor->size; i++) cnn_tensor_set(tensor, i, (double)(i * 31 % 251));
        assert_round_trip(tensor, "big");
        assert_round_trip(tensor, "big.gz");
        cnn_tensor_release(tensor);
    }
    cnn_tensor *nothing;
    assert_int_equal(cnn_tensor_new(&nothing, CNN_FLOAT32, 3, empty), CNN_OK);
    char *path = in_folder("empty");
    cnn_tensor *loaded;
    assert_int_equal(cnn_idx_save(path, nothing), CNN_OK);
    assert_int_equal(cnn_idx_load(&loaded, path), CNN_OK);
    assert_true(cnn_same_shape(loaded, nothing));
    cnn_tensor_release(loaded);
    cnn_tensor_release(nothing);
    unlink(path);
}

/* ---- bad files ----------------------------------------------------------------------------------------- */

static const uint8_t good[] = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};

static void test_truncated(void **state) {
    (void)state;
    for (size_t size = 1; size < sizeof good; size++) {
        char *path = put("wbT", good, size), came[64];
        snprintf(came, sizeof came, "expected %d bytes, got %zu", size < 4 ? 4 : size < 12 ? 12 : 18, size);
        assert_fails(path, CNN_ERROR_FORMAT, came);
        path = put("wb", good, size);
        assert_fails(path, CNN_ERROR_FORMAT, came);
        unlink(path);
    }
}

static void test_truncated_gzip(void **state) {
    (void)state;
    char *path = put("wb", good, sizeof good);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    for (off_t size = info.st_size - 1; size > 2; size--) {
        assert_int_equal(truncate(path, size), 0);
        assert_fails(path, CNN_ERROR_FORMAT, "cut short");
    }
    unlink(path);
}

static void test_oversized(void **state) {
    (void)state;
    uint8_t more[sizeof good + 1] = {0};
    memcpy(more, good, sizeof good);
    char *path = put("wbT", more, sizeof more);
    assert_fails(path, CNN_ERROR_FORMAT, "too long: expected 18 bytes, got 19");
    path = put("wb", more, sizeof more);
    assert_fails(path, CNN_ERROR_FORMAT, "too long: expected 18 bytes, got more");
    unlink(path);
}

static void test_wrong_magic(void **state) {
    (void)state;
    static const uint8_t heads[][4] = {{1, 0, 8, 1},  {0, 1, 8, 1}, {0, 0, 7, 1},   {0, 0, 10, 1},
                                       {0, 0, 15, 1}, {0, 0, 8, 9}, {0, 0, 8, 255}, {'P', 'K', 3, 4}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        uint8_t file[64] = {0};
        memcpy(file, heads[i], 4);
        char *path = put(i % 2 ? "wb" : "wbT", file, sizeof file);
        assert_fails(path, CNN_ERROR_FORMAT, "not an IDX file");
        unlink(path);
    }
}

static void test_empty_missing_and_no_file(void **state) {
    (void)state;
    char *path = put("wbT", "", 0);
    assert_fails(path, CNN_ERROR_FORMAT, "is empty");
    put("wb", "", 0);
    assert_fails(path, CNN_ERROR_FORMAT, "cut short");
    unlink(path);
    assert_fails(path, CNN_ERROR_IO, "No such file");
    assert_fails(folder, CNN_ERROR_IO, "folder");
    assert_fails("/dev/zero", CNN_ERROR_IO, "device");
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_fails(path, CNN_ERROR_IO, "pipe");
    unlink(path);
}

/* Root may read and write anything, so for these tests it is nobody. */
static void become(uid_t user) {
    if (getuid() == 0) assert_int_equal(seteuid(user), 0);
}

enum { NOBODY = 65534 };

static void test_unreadable(void **state) {
    (void)state;
    char *path = put("wbT", good, sizeof good);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(path, 0), 0);
    become(NOBODY);
    assert_fails(path, CNN_ERROR_IO, "ermission");
    become(0);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(chmod(folder, 0), 0);
    become(NOBODY);
    assert_fails(path, CNN_ERROR_IO, "ermission");
    become(0);
    assert_int_equal(chmod(folder, 0700), 0);
    unlink(path);
}

static void test_corrupt_gzip(void **state) {
    (void)state;
    uint8_t noise[20012] = {0, 0, 8, 1, 0, 0, 0x4E, 0x20};
    for (int i = 8; i < 20008; i++) noise[i] = (uint8_t)(i * 7919 % 253);
    char *path = put("wb", noise, 20008);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    int failed = 0;
    for (long at = 10; at < info.st_size; at += 1 + info.st_size / 100) {
        FILE *file = fopen(path, "r+b");
        assert_non_null(file);
        fseek(file, at, SEEK_SET);
        int byte = fgetc(file);
        fseek(file, at, SEEK_SET);
        fputc(byte ^ 0x55, file);
        fclose(file);
        assert_fails(path, CNN_ERROR_FORMAT, "");
        failed++;
        put("wb", noise, 20008);
    }
    assert_true(failed > 50);
    unlink(path);
}

/* The size a header announces is believed only as far as the file can hold it. */
static size_t largest;

static bool watch(size_t size, void *data) {
    (void)data;
    if (size > largest) largest = size;
    return false;
}

static void test_absurd_sizes_allocate_nothing(void **state) {
    (void)state;
    static const uint8_t huge[] = {0,   0,   14,  3,   255, 255, 255, 255, 255, 255,
                                   255, 255, 255, 255, 255, 255, 0,   0,   0,   0};
    static const uint8_t large[] = {0, 0, 8, 2, 0x40, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    largest = 0;
    cnn_set_alloc_hook(watch, NULL);
    for (int gzip = 0; gzip < 2; gzip++) {
        char *path = put(gzip ? "wb" : "wbT", huge, sizeof huge);
        assert_fails(path, CNN_ERROR_FORMAT, "more elements than any file can hold");
        put(gzip ? "wb" : "wbT", large, sizeof large);
        assert_fails(path, CNN_ERROR_FORMAT, "cut short: expected 1152921504606846988 bytes");
        unlink(path);
    }
    cnn_set_alloc_hook(NULL, NULL);
    assert_true(largest < 1 << 20);
}

/* ---- failures around ----------------------------------------------------------------------------------- */

static bool fail_at(size_t size, void *data) {
    (void)size;
    return (*(int *)data)-- == 0;
}

static void test_every_allocation_may_fail(void **state) {
    (void)state;
    const int64_t shape[] = {2, 3};
    cnn_tensor *tensor, *loaded;
    assert_int_equal(cnn_tensor_new(&tensor, CNN_FLOAT32, 2, shape), CNN_OK);
    char *path = in_folder("memory.gz");
    size_t before = cnn_memory_used();
    for (int loading = 0; loading < 2; loading++) {
        int failures = 0;
        for (cnn_status status = CNN_ERROR_MEMORY; status != CNN_OK; failures++) {
            int countdown = failures;
            cnn_set_alloc_hook(fail_at, &countdown);
            status = loading ? cnn_idx_load(&loaded, path) : cnn_idx_save(path, tensor);
            cnn_set_alloc_hook(NULL, NULL);
            assert_true(status == CNN_OK || status == CNN_ERROR_MEMORY);
            assert_int_equal(entries(folder), loading || status == CNN_OK);
            if (loading && status == CNN_OK) cnn_tensor_release(loaded);
            assert_int_equal(cnn_memory_used(), before);
        }
        assert_true(failures >= 3);
    }
    unlink(path);
    cnn_tensor_release(tensor);
}

static void test_save_refuses(void **state) {
    (void)state;
    const int64_t shape[] = {2};
    cnn_tensor *tensor;
    assert_int_equal(cnn_tensor_new(&tensor, CNN_BFLOAT16, 1, shape), CNN_OK);
    assert_int_equal(cnn_idx_save(in_folder("b"), tensor), CNN_ERROR_DTYPE);
    assert_message("bfloat16");
    cnn_tensor symbolic = {.refs = 1, .rank = 1, .shape = {-1}, .size = -1};
    assert_int_equal(cnn_idx_save(in_folder("b"), &symbolic), CNN_ERROR_ARGUMENT);
    tensor->dtype = CNN_UINT8;
    assert_int_equal(cnn_idx_save(folder, tensor), CNN_ERROR_IO);
    assert_message(folder);
    assert_int_equal(cnn_idx_save("/dev/full", tensor), CNN_ERROR_IO);
    assert_message("No space left");
    assert_int_equal(symlink("/dev/full", in_folder("full.gz")), 0);
    assert_int_equal(cnn_idx_save(in_folder("full.gz"), tensor), CNN_ERROR_IO);
    assert_message("No space left");
    unlink(in_folder("full.gz"));
    assert_int_equal(entries(folder), 0);
    cnn_tensor_release(tensor);
}

static void test_full_disk_keeps_old_file(void **state) {
    (void)state;
    const int64_t shape[] = {1 << 16};
    cnn_tensor *small, *big, *loaded;
    assert_int_equal(cnn_tensor_full(&small, CNN_INT32, 0, NULL, 42), CNN_OK);
    assert_int_equal(cnn_tensor_new(&big, CNN_INT32, 1, shape), CNN_OK);
    for (int i = 0; i < 1 << 16; i++) cnn_i32(big)[i] = (int32_t)(i * 2654435761u);
    struct rlimit old, limit;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = (struct rlimit){.rlim_cur = 4096, .rlim_max = old.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    for (int gzip = 0; gzip < 2; gzip++) {
        char *path = in_folder(gzip ? "full.gz" : "full");
        assert_int_equal(cnn_idx_save(path, small), CNN_OK);
        setrlimit(RLIMIT_FSIZE, &limit);
        cnn_status status = cnn_idx_save(path, big);
        setrlimit(RLIMIT_FSIZE, &old);
        assert_int_equal(status, CNN_ERROR_IO);
        assert_message("idx_save");
        assert_message(path);
        assert_int_equal(entries(folder), 1);
        assert_int_equal(cnn_idx_load(&loaded, path), CNN_OK);
        assert_int_equal(cnn_i32(loaded)[0], 42);
        cnn_tensor_release(loaded);
        unlink(path);
    }
    signal(SIGXFSZ, handler);
    cnn_tensor_release(small);
    cnn_tensor_release(big);
}

static void test_interruption(void **state) {
    (void)state;
    const int64_t shape[] = {4};
    cnn_tensor *tensor, *loaded;
    char *path = in_folder("interrupted");
    assert_int_equal(cnn_tensor_new(&tensor, CNN_UINT8, 1, shape), CNN_OK);
    assert_int_equal(cnn_idx_save(path, tensor), CNN_OK);
    cnn_interrupt();
    assert_int_equal(cnn_idx_load(&loaded, path), CNN_ERROR_INTERRUPTED);
    assert_int_equal(cnn_idx_save(path, tensor), CNN_ERROR_INTERRUPTED);
    cnn_interrupt_clear();
    assert_int_equal(entries(folder), 1);
    assert_int_equal(cnn_idx_load(&loaded, path), CNN_OK);
    cnn_tensor_release(loaded);
    cnn_tensor_release(tensor);
    unlink(path);
}

/* ---- splitting ----------------------------------------------------------------------------------------- */

static void assert_partition(const cnn_tensor *train, const cnn_tensor *test, int64_t count) {
    char *seen = calloc((size_t)count, 1);
    assert_non_null(seen);
    for (int part = 0; part < 2; part++) {
        const cnn_tensor *tensor = part ? test : train;
        for (int64_t i = 0; i < tensor->size; i++) {
            int32_t at = cnn_i32(tensor)[i];
            assert_true(at >= 0 && at < count && !seen[at]);
            seen[at] = 1;
        }
    }
    free(seen);
}

/* The two parts as tensors of their own. */
static cnn_status split(cnn_tensor **train, cnn_tensor **test, int64_t count, int64_t n_train, int64_t n_test,
                        bool shuffle, const cnn_tensor *labels, uint64_t seed) {
    cnn_random random = {.key = seed};
    cnn_tensor *both;
    cnn_status status = cnn_split(&both, &(cnn_split_options){.count = count,
                                                              .train = n_train,
                                                              .test = n_test,
                                                              .shuffle = shuffle,
                                                              .classes = labels,
                                                              .random = &random});
    if (status != CNN_OK) return status;
    assert_int_equal(both->size, n_train + n_test);
    assert_int_equal(cnn_tensor_from(train, CNN_INT32, 1, &n_train, both->data), CNN_OK);
    assert_int_equal(cnn_tensor_from(test, CNN_INT32, 1, &n_test, cnn_i32(both) + n_train), CNN_OK);
    cnn_tensor_release(both);
    return CNN_OK;
}

static void test_split_without_shuffling_keeps_order(void **state) {
    (void)state;
    cnn_tensor *train, *test;
    assert_int_equal(split(&train, &test, 10, 6, 3, false, NULL, 1), CNN_OK);
    for (int i = 0; i < 6; i++) assert_int_equal(cnn_i32(train)[i], i);
    for (int i = 0; i < 3; i++) assert_int_equal(cnn_i32(test)[i], 6 + i);
    cnn_tensor_release(train);
    cnn_tensor_release(test);
}

static void test_split_is_a_function_of_its_seed(void **state) {
    (void)state;
    cnn_tensor *train[3], *test[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(split(&train[i], &test[i], 1000, 800, 200, true, NULL, i < 2 ? 777 : 778), CNN_OK);
        assert_partition(train[i], test[i], 1000);
    }
    assert_memory_equal(train[0]->data, train[1]->data, 800 * sizeof(int32_t));
    assert_memory_equal(test[0]->data, test[1]->data, 200 * sizeof(int32_t));
    assert_memory_not_equal(test[0]->data, test[2]->data, 200 * sizeof(int32_t));
    for (int i = 0; i < 3; i++) {
        cnn_tensor_release(train[i]);
        cnn_tensor_release(test[i]);
    }
}

/* Labels by class sizes, mixed up. */
static cnn_tensor *labels_of(const int64_t *sizes, int classes) {
    int64_t total = 0;
    for (int c = 0; c < classes; c++) total += sizes[c];
    cnn_tensor *labels;
    assert_int_equal(cnn_tensor_new(&labels, CNN_INT32, 1, &total), CNN_OK);
    int64_t at = 0;
    for (int c = 0; c < classes; c++)
        for (int64_t i = 0; i < sizes[c]; i++, at++) cnn_i32(labels)[at * 7919 % total] = c - 1;
    return labels;
}

static void assert_counts(const int64_t *sizes, int classes, int64_t n_train, int64_t n_test,
                          const int64_t *expected) {
    cnn_tensor *labels = labels_of(sizes, classes), *train, *test;
    assert_int_equal(split(&train, &test, labels->size, n_train, n_test, true, labels, 5), CNN_OK);
    assert_partition(train, test, labels->size);
    int64_t counts[16] = {0};
    for (int64_t i = 0; i < n_test; i++) counts[cnn_i32(labels)[cnn_i32(test)[i]] + 1]++;
    for (int c = 0; c < classes; c++) assert_int_equal(counts[c], expected[c]);
    memset(counts, 0, sizeof counts);
    for (int64_t i = 0; i < n_train; i++) counts[cnn_i32(labels)[cnn_i32(train)[i]] + 1]++;
    for (int c = 0; c < classes; c++) assert_true(counts[c] > 0 && counts[c] <= sizes[c] - expected[c]);
    cnn_tensor_release(labels);
    cnn_tensor_release(train);
    cnn_tensor_release(test);
}

static void test_stratified_split_keeps_proportions(void **state) {
    (void)state;
    assert_counts((int64_t[]){100, 200, 700}, 3, 800, 200, (int64_t[]){20, 40, 140});
    assert_counts((int64_t[]){101, 100, 102}, 3, 242, 61, (int64_t[]){20, 20, 21});
    assert_counts((int64_t[]){101, 203, 701}, 3, 603, 201, (int64_t[]){20, 41, 140});
}

static void test_stratified_split_gives_every_class_to_both_parts(void **state) {
    (void)state;
    assert_counts((int64_t[]){98, 2}, 2, 80, 20, (int64_t[]){19, 1});
    assert_counts((int64_t[]){2, 2, 96}, 3, 97, 3, (int64_t[]){1, 1, 1});
    assert_counts((int64_t[]){2, 2, 96}, 3, 3, 97, (int64_t[]){1, 1, 95});
}

static void test_stratified_split_by_rows(void **state) {
    (void)state;
    cnn_tensor *labels = labels_of((int64_t[]){60, 40}, 2), *rows, *train, *test;
    for (int64_t i = 0; i < 100; i++) cnn_i32(labels)[i]++;
    assert_int_equal(cnn_one_hot(&rows, labels, 2), CNN_OK);
    assert_int_equal(split(&train, &test, 100, 75, 25, true, rows, 5), CNN_OK);
    int ones = 0;
    for (int i = 0; i < 25; i++) ones += cnn_i32(labels)[cnn_i32(test)[i]];
    assert_int_equal(ones, 10);
    cnn_tensor_release(labels);
    cnn_tensor_release(rows);
    cnn_tensor_release(train);
    cnn_tensor_release(test);
}

static void test_split_refuses(void **state) {
    (void)state;
    cnn_tensor *train = NULL, *test = NULL, *labels = labels_of((int64_t[]){5, 1}, 2);
    assert_int_equal(split(&train, &test, 0, 1, 1, true, NULL, 1), CNN_ERROR_ARGUMENT);
    assert_int_equal(split(&train, &test, 10, 0, 5, true, NULL, 1), CNN_ERROR_ARGUMENT);
    assert_int_equal(split(&train, &test, 10, 5, 0, true, NULL, 1), CNN_ERROR_ARGUMENT);
    assert_int_equal(split(&train, &test, 10, 6, 5, true, NULL, 1), CNN_ERROR_ARGUMENT);
    assert_int_equal(split(&train, &test, 6, 3, 3, true, labels, 1), CNN_ERROR_ARGUMENT);
    assert_message("only 1 member");
    assert_int_equal(split(&train, &test, 6, 3, 3, false, labels, 1), CNN_ERROR_ARGUMENT);
    assert_message("shuffle");
    assert_int_equal(split(&train, &test, 7, 3, 3, true, labels, 1), CNN_ERROR_SHAPE);
    cnn_tensor_release(labels);
    labels = labels_of((int64_t[]){5, 5, 5}, 3);
    assert_int_equal(split(&train, &test, 15, 13, 2, true, labels, 1), CNN_ERROR_ARGUMENT);
    assert_message("test part has 2 samples, fewer than the 3 classes");
    assert_null(train);
    cnn_tensor_release(labels);
}

static void test_split_every_allocation_may_fail(void **state) {
    (void)state;
    cnn_tensor *labels = labels_of((int64_t[]){5, 7}, 2), *both;
    size_t before = cnn_memory_used();
    for (int stratified = 0; stratified < 2; stratified++) {
        cnn_status status = CNN_ERROR_MEMORY;
        for (int failures = 0; status != CNN_OK; failures++) {
            int countdown = failures;
            cnn_set_alloc_hook(fail_at, &countdown);
            status = cnn_split(&both, &(cnn_split_options){.count = 12,
                                                           .train = 6,
                                                           .test = 6,
                                                           .shuffle = true,
                                                           .classes = stratified ? labels : NULL});
            cnn_set_alloc_hook(NULL, NULL);
            assert_true(status == CNN_OK || status == CNN_ERROR_MEMORY);
            if (status != CNN_OK) assert_int_equal(cnn_memory_used(), before);
        }
        cnn_tensor_release(both);
    }
    cnn_tensor_release(labels);
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_every_rank_round_trip),
        cmocka_unit_test(test_big_and_empty_round_trip),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_truncated_gzip),
        cmocka_unit_test(test_oversized),
        cmocka_unit_test(test_wrong_magic),
        cmocka_unit_test(test_empty_missing_and_no_file),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_corrupt_gzip),
        cmocka_unit_test(test_absurd_sizes_allocate_nothing),
        cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_save_refuses),
        cmocka_unit_test(test_full_disk_keeps_old_file),
        cmocka_unit_test(test_interruption),
        cmocka_unit_test(test_split_without_shuffling_keeps_order),
        cmocka_unit_test(test_split_is_a_function_of_its_seed),
        cmocka_unit_test(test_stratified_split_keeps_proportions),
        cmocka_unit_test(test_stratified_split_gives_every_class_to_both_parts),
        cmocka_unit_test(test_stratified_split_by_rows),
        cmocka_unit_test(test_split_refuses),
        cmocka_unit_test(test_split_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
