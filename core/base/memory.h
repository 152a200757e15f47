/* Memory: 64-byte aligned blocks whose size is known, counted, and made to fail by tests. */
#ifndef CNN_BASE_MEMORY_H
#define CNN_BASE_MEMORY_H

#include <stddef.h>
#include <stdbool.h>

#define CNN_ALIGN 64
#define CNN_ROUND_UP(n, to) (((n) + (to)-1) / (to) * (to))

/* Uninitialised or zeroed blocks aligned to CNN_ALIGN; NULL when memory is out or the test hook says so.
 * A size of 0 gives a block too. Freed with cnn_free; cnn_free(NULL) does nothing. */
void *cnn_malloc(size_t size);
void *cnn_calloc(size_t size);
void *cnn_realloc(void *block, size_t size);
void cnn_free(void *block);
char *cnn_strdup(const char *text);

/* Asks the test hook, for blocks that come from the C library because the caller is to free() them. */
bool cnn_alloc_refused(size_t size);

/* The size asked for when the block was made. */
size_t cnn_block_size(const void *block);

#endif
