/* What the files of this floor share: rows of elements converted from one dtype to another, copies between
 * strided blocks, and operands walked through a common broadcast shape. */
#ifndef CNN_TENSOR_ROWS_H
#define CNN_TENSOR_ROWS_H

#include "cnn.h"

/* Elements a task takes at least: below this, starting threads costs more than it saves. */
enum { CNN_GRAIN = 65536 };

/* ---- conversion -------------------------------------------------------------------------------------- */

/* n elements from one dtype to another as cnn_cast does; out == in is fine where the dtypes are equal. */
void cnn_row_cast(cnn_dtype to, void *out, cnn_dtype from, const void *in, int64_t n);
void cnn_row_to_double(double *out, cnn_dtype from, const void *in, int64_t n);

/* One element, from a double: rounded to nearest and saturated; NaN is 0 in an integer. */
void cnn_store(cnn_dtype dtype, void *data, int64_t position, double value);

/* ---- strided copies ---------------------------------------------------------------------------------- */

/* out[Σ i·out_stride] = in[Σ i·in_stride] for every index below shape; strides are in elements of `element`
 * (1, 2 or 4) bytes, in_stride may be negative or 0. In parallel where there is much to copy. */
void cnn_copy_strided(size_t element, int rank, const int64_t *shape, void *out, const int64_t *out_stride,
                      const void *in, const int64_t *in_stride);

/* Row-major strides of a shape. */
void cnn_strides(int rank, const int64_t *shape, int64_t *strides);
/* Strides that walk `a` while the index runs through shape, to which a broadcasts: 0 on its axes of size 1.
 */
void cnn_broadcast_strides(const cnn_tensor *a, int rank, const int64_t *shape, int64_t *strides);

/* ---- broadcast walks --------------------------------------------------------------------------------- */

/* Operands are fetched in chunks of consecutive elements of the output: as a pointer into the operand itself
 * where its elements lie side by side there (or are all one element), through a buffer otherwise. */
enum { CNN_WALK_OPERANDS = 3, CNN_WALK_CHUNK = 1024, CNN_WALK_SHORT_ROW = 64 };

typedef struct cnn_operand {
    const char *data;
    cnn_dtype dtype;
    int64_t stride[CNN_MAX_RANK];
    enum { CNN_WALK_DENSE, CNN_WALK_SCALAR, CNN_WALK_PERIODIC, CNN_WALK_GENERAL } kind;
} cnn_operand;

typedef struct cnn_walk {
    int rank; /* at least 1, after axes that can be walked as one were merged */
    int64_t shape[CNN_MAX_RANK], size;
    cnn_operand operand[CNN_WALK_OPERANDS];
} cnn_walk;

typedef struct cnn_walk_buffer {
    _Alignas(64) char raw[4 * CNN_WALK_CHUNK];
    _Alignas(64) char values[4 * (CNN_WALK_CHUNK + CNN_WALK_SHORT_ROW)];
    bool filled; /* the values of an operand that is the same in every chunk; false at first */
} cnn_walk_buffer;

void cnn_walk_init(cnn_walk *walk, int rank, const int64_t *shape, int count,
                   const cnn_tensor *const *operands);
/* How many elements from position on, at most `limit` - position, can be fetched at once. */
int64_t cnn_walk_chunk(const cnn_walk *walk, int64_t position, int64_t limit);
/* The operand's values for that chunk in dtype `want`; *step is 1, or 0 where one value stands for all. */
const void *cnn_walk_fetch(const cnn_walk *walk, int operand, cnn_dtype want, int64_t position, int64_t count,
                           cnn_walk_buffer *buffer, int *step);

#endif
