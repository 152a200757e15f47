/* The libraries that read PNG, BMP and GIF and write PNG, JPEG and BMP, compiled once, with libcnn's memory.
 *
 * A damaged or malicious file must neither crash nor exhaust the machine: no block may be larger than a decoder
 * of the largest picture allowed needs, and checks that would abort are off. Blocks begin as zeros, for the pixels of
 * some damaged files are never written. What the libraries forget to free when something fails is freed here. Deflate
 * is zlib's, which packs tighter than stb's own and can run out of memory without harm. */
#include "base/memory.h"
#include "image/image.h"

#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { MARGIN = 1 << 24 }; /* for what decoders keep beside the pixels */

/* Stands CNN_ALIGN bytes before what the library gets. */
typedef struct block {
    struct block *next, *previous;
} block;

static _Thread_local block *blocks;
static _Thread_local bool starved;

static void *block_malloc(size_t size) {
    block *b = size <= 2 * (size_t)CNN_IMAGE_MAX_BYTES + MARGIN ? cnn_calloc(size + CNN_ALIGN) : NULL;
    if (!b) {
        starved = true;
        return NULL;
    }
    *b = (block){.next = blocks};
    if (blocks) blocks->previous = b;
    blocks = b;
    return (char *)b + CNN_ALIGN;
}

static void block_free(void *memory) {
    if (!memory) return;
    block *b = (block *)(void *)((char *)memory - CNN_ALIGN);
    if (b->next) b->next->previous = b->previous;
    *(b->previous ? &b->previous->next : &blocks) = b->next;
    cnn_free(b);
}

static void *block_realloc(void *memory, size_t size) {
    void *grown = block_malloc(size);
    if (!grown || !memory) return grown;
    size_t old = cnn_block_size((char *)memory - CNN_ALIGN) - CNN_ALIGN;
    memcpy(grown, memory, old < size ? old : size);
    block_free(memory);
    return grown;
}

bool cnn_stb_end(void) {
    bool was_starved = starved;
    while (blocks) block_free((char *)blocks + CNN_ALIGN);
    starved = false;
    return was_starved;
}

static unsigned char *zlib_compress(const unsigned char *data, int size, int *packed_size, int level) {
    uLongf packed = compressBound((uLong)size);
    unsigned char *bytes = block_malloc(packed);
    if (bytes && compress2(bytes, &packed, data, (uLong)size, level < 9 ? level : 9) == Z_OK) {
        *packed_size = (int)packed;
        return bytes;
    }
    block_free(bytes);
    return NULL;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

/* Their arithmetic shifts into sign bits and the like: harmless, but not what a sanitizer is to stop at. */
#pragma GCC diagnostic ignored "-Wattributes"
#define static static __attribute__((no_sanitize_undefined))

#define STBI_MALLOC block_malloc
#define STBI_REALLOC block_realloc
#define STBI_FREE block_free
#define STBI_ASSERT(condition) ((void)0)
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_NO_STDIO
#define STBI_FAILURE_USERMSG
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

#define STBIW_MALLOC block_malloc
#define STBIW_REALLOC block_realloc
#define STBIW_FREE block_free
#define STBIW_ASSERT(condition) ((void)0)
#define STBIW_ZLIB_COMPRESS zlib_compress
#define STBI_WRITE_NO_STDIO
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb_image_write.h>

#undef static
#pragma GCC diagnostic pop
