/* A header right before each block holds its size, so that the live total is exact and a realloc knows how
 * much to copy, and where malloc's own block began. Everything libcnn allocates itself goes through here. */
#include "base/memory.h"
#include "cnn.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct header {
    void *raw;
    size_t size;
} header;

static _Atomic size_t live_bytes, peak_bytes;
static cnn_alloc_hook *alloc_hook;
static void *alloc_hook_data;

void cnn_set_alloc_hook(cnn_alloc_hook *hook, void *data) {
    alloc_hook = hook;
    alloc_hook_data = data;
}

size_t cnn_memory_used(void) {
    return live_bytes;
}

size_t cnn_memory_peak(void) {
    return peak_bytes;
}

static void count(size_t size) {
    size_t now = atomic_fetch_add(&live_bytes, size) + size;
    size_t peak = peak_bytes;
    while (now > peak && !atomic_compare_exchange_weak(&peak_bytes, &peak, now)) {
    }
}

bool cnn_alloc_refused(size_t size) {
    return alloc_hook && alloc_hook(size, alloc_hook_data);
}

static void *allocate(size_t size, bool zeroed) {
    if (cnn_alloc_refused(size)) return NULL;
    if (size > PTRDIFF_MAX - 2 * CNN_ALIGN) return NULL;
    void *raw = zeroed ? calloc(1, size + 2 * CNN_ALIGN) : malloc(size + 2 * CNN_ALIGN);
    if (!raw) return NULL;
    uintptr_t start = CNN_ROUND_UP((uintptr_t)raw + sizeof(header), CNN_ALIGN);
    ((header *)start)[-1] = (header){.raw = raw, .size = size};
    count(size);
    return (void *)start;
}

void *cnn_malloc(size_t size) {
    return allocate(size, false);
}

void *cnn_calloc(size_t size) {
    return allocate(size, true);
}

size_t cnn_block_size(const void *block) {
    return ((const header *)block)[-1].size;
}

void *cnn_realloc(void *block, size_t size) {
    void *grown = cnn_malloc(size);
    if (!grown || !block) return grown;
    size_t old = cnn_block_size(block);
    memcpy(grown, block, old < size ? old : size);
    cnn_free(block);
    return grown;
}

void cnn_free(void *block) {
    if (!block) return;
    atomic_fetch_sub(&live_bytes, cnn_block_size(block));
    free(((header *)block)[-1].raw);
}

char *cnn_strdup(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = cnn_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}
