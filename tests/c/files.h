/* For tests of files: a folder of their own, whole files as bytes, damage, full disks, Python. */
#ifndef FILES_H
#define FILES_H

#include "tensor_test.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static char folder[] = "/tmp/cnn_test_XXXXXX";

static inline int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state) {
    (void)state;
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* The path of a name in the folder; good for eight calls. */
static inline char *in_folder(const char *name) {
    static char paths[8][300];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static inline int entries(void) {
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    int count = -2; /* . and .. */
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

static inline void put(const char *path, const void *bytes, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The caller's to free(). */
static inline uint8_t *get(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static inline void assert_file(const char *path, const void *bytes, size_t size) {
    size_t got;
    uint8_t *file = get(path, &got);
    assert_int_equal(got, size);
    assert_memory_equal(file, bytes, size);
    free(file);
}

/* Makes the call with no room on the disk for a file of more than 64 bytes: it must fail and leave `old` alone. */
static inline void assert_keeps_old(const char *path, cnn_status (*save)(const char *path, void *data),
                                    void *data) {
    put(path, "old", 3);
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){.rlim_cur = 64, .rlim_max = limit.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int before = entries();
    cnn_status status = save(path, data);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, handler);
    assert_fails(status, CNN_ERROR_IO, path);
    assert_file(path, "old", 3);
    assert_int_equal(entries(), before);
    unlink(path);
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

static size_t largest_block;

static inline bool note_size(size_t size, void *data) {
    (void)data;
    if (size > largest_block) largest_block = size;
    return false;
}

/* One try of a damaged file: nothing may leak, and no block be larger than `most`. */
static inline void try_damaged(const char *path, const uint8_t *bytes, size_t size,
                               cnn_status (*load)(const char *path), size_t most) {
    put(path, bytes, size);
    size_t before = cnn_memory_used();
    largest_block = 0;
    cnn_set_alloc_hook(note_size, NULL);
    cnn_status status = load(path);
    cnn_set_alloc_hook(NULL, NULL);
    assert_int_equal(cnn_memory_used(), before);
    assert_true(largest_block <= most);
    if (status != CNN_OK) assert_non_null(strstr(cnn_error_message(), path));
}

/* Loads the file with each of its bytes changed in several ways, and cut off after each. */
static inline void damage(const char *path, cnn_status (*load)(const char *path), size_t most) {
    static const uint8_t masks[] = {0xff, 0x01, 0x80};
    size_t size;
    uint8_t *bytes = get(path, &size);
    assert_int_equal(load(path), CNN_OK);
    char *other = in_folder("damaged");
    for (size_t i = 0; i < size; i++) {
        uint8_t kept = bytes[i];
        for (size_t j = 0; j < sizeof masks; j++) {
            bytes[i] = kept ^ masks[j];
            try_damaged(other, bytes, size, load, most);
        }
        bytes[i] = 0;
        try_damaged(other, bytes, size, load, most);
        bytes[i] = kept;
    }
    for (size_t i = 0; i < size; i++) {
        try_damaged(other, bytes, i, load, most);
        assert_int_not_equal(load(other), CNN_OK);
    }
    unlink(other);
    free(bytes);
}

/* ---- Python ------------------------------------------------------------------------------------------------- */

/* Runs the lines of Python in the folder; skips the test where Python or the module is not there. */
static inline void python(const char *module, const char *lines) {
    char command[300];
    snprintf(command, sizeof command, "/usr/bin/python3 -c 'import %s' 2>/dev/null", module);
    if (system(command) != 0) {
        print_message("no python3 with %s here\n", module);
        skip();
    }
    put(in_folder("script.py"), lines, strlen(lines));
    snprintf(command, sizeof command, "cd %s && /usr/bin/python3 script.py", folder);
    assert_int_equal(system(command), 0);
    unlink(in_folder("script.py"));
}

#endif
