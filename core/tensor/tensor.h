/* The tensor library for the floors above: what cnn.h has, and its inner forms that write into memory the
 * caller already has. The _into functions do not check: shapes and dtypes are the caller's promise. They
 * allocate nothing and so cannot fail; out may be the very same memory as an operand of its shape and dtype
 * where the operation goes element by element (binary, unary, cast). */
#ifndef CNN_TENSOR_TENSOR_H
#define CNN_TENSOR_TENSOR_H

#include "cnn.h"

/* Not zeroed. */
cnn_status cnn_tensor_alloc(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape);
cnn_status cnn_tensor_alloc_like(cnn_tensor **out, const cnn_tensor *a, cnn_dtype dtype);

/* The same, with `who` at the head of messages. */
cnn_status cnn_tensor_alloc_for(const char *who, cnn_tensor **out, cnn_dtype dtype, int rank,
                                const int64_t *shape);

/* Without values: data is NULL, node is the caller's to set. Sizes may be -1. */
cnn_status cnn_tensor_symbolic(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape);

/* Called when the last reference to a symbolic tensor with a node goes. Set once, by the floor that makes
 * nodes. */
extern void (*cnn_node_release_hook)(struct cnn_node *node);

/* A header on the stack for memory owned elsewhere; not to be retained, nor viewed or reshaped. */
cnn_tensor cnn_tensor_wrap(cnn_dtype dtype, int rank, const int64_t *shape, void *data);

/* Sets every element, rounded and saturated to the dtype. */
void cnn_fill_into(cnn_tensor *out, double value);

/* An error when `a` is NULL or symbolic. */
cnn_status cnn_check_values(const char *who, const cnn_tensor *a);

/* The number of elements, or -1 with the error set: a negative size, or too many bytes. */
int64_t cnn_shape_size(const char *who, cnn_dtype dtype, int rank, const int64_t *shape);

/* The shape both broadcast to. Sizes of -1 (unknown) meet 1 and -1 only. */
cnn_status cnn_broadcast_shape(const char *who, const cnn_tensor *a, const cnn_tensor *b, int *rank,
                               int64_t *shape);

/* axis in [-rank, rank) → [0, rank), or an error that names it. */
cnn_status cnn_normalize_axis(const char *who, int axis, int rank, int *normalized);

/* out has the broadcast shape and the result's dtype (cnn_binary_dtype). */
cnn_dtype cnn_binary_dtype(cnn_binary_op op, cnn_dtype a, cnn_dtype b);
void cnn_binary_into(cnn_tensor *out, cnn_binary_op op, const cnn_tensor *a, const cnn_tensor *b);
cnn_dtype cnn_unary_dtype(cnn_unary_op op, cnn_dtype a);
void cnn_unary_into(cnn_tensor *out, cnn_unary_op op, const cnn_tensor *a);
/* out has the shape of a and the dtype to cast to. */
void cnn_cast_into(cnn_tensor *out, const cnn_tensor *a);
/* The values of a in out's shape, to which it broadcasts; dtypes are equal. */
void cnn_broadcast_into(cnn_tensor *out, const cnn_tensor *a);
/* out has the reduced shape, with or without the axes of size 1, and the dtype of cnn_reduce_dtype. axes == 0
 * means all; max, min, argmax and argmin need something to choose from. */
cnn_dtype cnn_reduce_dtype(cnn_reduce_op op, cnn_dtype a);
void cnn_reduce_into(cnn_tensor *out, cnn_reduce_op op, const cnn_tensor *a, unsigned axes);
/* out has the permuted shape; axes == NULL reverses. */
void cnn_transpose_into(cnn_tensor *out, const cnn_tensor *a, const int *axes);
void cnn_concat_into(cnn_tensor *out, const cnn_tensor *const *parts, int count, int axis);
/* The block of a that cnn_slice copies, into out of its shape. */
void cnn_slice_into(cnn_tensor *out, const cnn_tensor *a, const int64_t *from, const int64_t *step);

/* The adjoint of broadcasting: sums `a` (float32) over the axes along which out's shape was broadcast to a's.
 */
void cnn_sum_to_into(cnn_tensor *out, const cnn_tensor *a);

/* C = alpha·op(A)·op(B) + beta·C, row major, float32; op(A) is m×k, op(B) k×n. Over OpenBLAS, one-threaded
 * calls on blocks whose sizes depend on m, n and k only, so that the result is the same for any number of
 * threads. Runs serially inside a parallel task. beta == 0 means C is not read. */
void cnn_gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
              const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
