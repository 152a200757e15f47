/* Damaged pictures: files of every kind that the loader reads, changed at random and given to it. Nothing may crash, hang,
 * leak, or fail without a message; what loads must be a picture.
 *
 *     pictures [ROUNDS [SEED]]     changes ROUNDS files; the same ones for the same seed
 *
 * From the project's root, where the whole files lie in tests/oracle/pictures. Built by clang with -fsanitize=fuzzer and
 * -DLIBFUZZER it is libFuzzer that changes them. */
#include "base/memory.h"
#include "image/image.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 1 << 20, MOST_MEMORY = 1 << 26, SECONDS = 60 };

static long decoded, refused;

static void need(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "pictures: %s: %s\n", what, cnn_error_message());
    abort();
}

static bool refuse_much(size_t size, void *data) {
    (void)data;
    return cnn_memory_used() + size > MOST_MEMORY;
}

/* The same picture at a size and in a way that depend on the file, in floats or bytes. */
static void fit(const cnn_tensor *image, uint8_t dice) {
    int64_t shape[] = {1 + dice % 7, 1 + dice % 9, image->shape[2]};
    cnn_tensor *resized = NULL;
    cnn_status status = cnn_tensor_new(&resized, dice & 8 ? CNN_FLOAT32 : CNN_UINT8, 3, shape);
    if (status == CNN_OK)
        status = cnn_image_fit_into(resized, image, (cnn_interpolation)(dice % 4), dice & 16,
                                    (cnn_aspect)(dice / 16 % 3));
    need(status == CNN_OK || status == CNN_ERROR_MEMORY, "resizing fails");
    for (int64_t i = 0; resized && status == CNN_OK && i < resized->size; i++) {
        double value = cnn_tensor_get(resized, i);
        need(value > -100 && value < 400, "resizing gives values of no picture");
    }
    cnn_tensor_release(resized);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static const int channels[] = {0, 1, 3, 4};
    size_t before = cnn_memory_used();
    uint8_t dice = size ? bytes[size - 1] : 0;
    int wanted = channels[dice % 4];
    cnn_tensor *image = NULL;
    cnn_set_alloc_hook(refuse_much, NULL);
    cnn_status status = cnn_image_decode(&image, "damaged", bytes, size, wanted);
    if (status == CNN_OK) {
        decoded++;
        need(image && image->dtype == CNN_UINT8 && image->rank == 3 && image->size > 0, "no picture");
        need(wanted == 0 || image->shape[2] == wanted, "other channels than those asked for");
        fit(image, dice);
    } else {
        refused++;
        need(!image && *cnn_error_message(), "fails with a picture, or without a message");
    }
    cnn_tensor_release(image);
    cnn_set_alloc_hook(NULL, NULL);
    need(cnn_memory_used() == before, "memory is left");
    return 0;
}

#ifndef LIBFUZZER

enum { MOST_FILES = 64, MOST_CHANGES = 6, MOST_SEED_BYTES = 1 << 16 };

static struct {
    uint8_t *bytes;
    size_t size;
} seeds[MOST_FILES];
static int seed_count;

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* In an order of their names, which a folder has none of. */
static void read_seeds(const char *folder) {
    struct dirent **entries;
    int count = scandir(folder, &entries, visible, alphasort);
    if (count < 0 || chdir(folder) != 0) {
        perror(folder);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        FILE *file = seed_count < MOST_FILES ? fopen(entries[i]->d_name, "rb") : NULL;
        free(entries[i]);
        if (!file) continue;
        seeds[seed_count].bytes = malloc(MOST_SEED_BYTES);
        seeds[seed_count].size = fread(seeds[seed_count].bytes, 1, MOST_SEED_BYTES, file);
        seed_count++;
        fclose(file);
    }
    free(entries);
}

static uint64_t state;

/* S. Vigna, splitmix64. */
static size_t below(size_t limit) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (size_t)((z ^ (z >> 31)) % limit);
}

/* One change to bytes, of at most MOST_BYTES; the new size. */
static size_t change(uint8_t *bytes, size_t size) {
    static const uint8_t telling[] = {0, 1, 2, 7, 8, 16, 127, 128, 254, 255, 0xc4, 0xd9, 0xda};
    size_t at = below(size), length = 1 + below(16), from = below(size);
    if (length > size - at) length = size - at;
    if (length > size - from) length = size - from;
    switch (below(7)) {
    case 0:
        bytes[at] ^= (uint8_t)(1 << below(8));
        break;
    case 1:
        bytes[at] = (uint8_t)below(256);
        break;
    case 2:
        bytes[at] = telling[below(sizeof telling)];
        break;
    case 3:
        memmove(bytes + at, bytes + from, length);
        break;
    case 4:
        memmove(bytes + at + length, bytes + at, size - at);
        return size + length;
    case 5:
        memmove(bytes + at, bytes + at + length, size - at - length);
        return size > length ? size - length : size;
    default:
        if (below(4) == 0) return at + 1;
        memset(bytes + at, telling[below(sizeof telling)], length);
    }
    return size;
}

int main(int argc, char **argv) {
    static uint8_t bytes[MOST_BYTES];
    long rounds = argc > 1 ? atol(argv[1]) : 30000;
    state = argc > 2 ? (uint64_t)atol(argv[2]) : 1;
    read_seeds("tests/oracle/pictures");
    for (long round = 0; round < rounds; round++) {
        alarm(SECONDS);
        size_t which = below((size_t)seed_count), size = seeds[which].size;
        memcpy(bytes, seeds[which].bytes, size);
        for (size_t n = 1 + below(MOST_CHANGES); n > 0; n--) size = change(bytes, size);
        uint8_t *exact = malloc(size); /* so that the sanitizer sees a read beyond */
        memcpy(exact, bytes, size);
        LLVMFuzzerTestOneInput(exact, size);
        free(exact);
    }
    printf("ok %ld damaged pictures: %ld decoded, %ld refused\n", rounds, decoded, refused);
    return 0;
}

#endif
