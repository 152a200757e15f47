/* Elements by position: blocks with steps, rows by index, and copies that flip, pad, tile or broadcast. All
 * but gather and one_hot are strided copies (copy.c). */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/parallel.h"
#include "base/status.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static char *at(const cnn_tensor *a, int64_t offset) {
    return (char *)a->data + offset * (int64_t)cnn_dtype_size(a->dtype);
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

/* The shape of the block; an error names the first range that cannot be. */
static cnn_status block_shape(const char *who, const cnn_tensor *a, const int64_t *from, const int64_t *to,
                              const int64_t *step, int64_t *shape) {
    for (int i = 0; i < a->rank; i++) {
        if (step[i] < 1)
            return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected a step of at least 1 on axis %d, got %" PRId64,
                            who, i, step[i]);
        if (from[i] < 0 || to[i] < 0 || from[i] > a->shape[i] || to[i] > a->shape[i])
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "%s: expected a range within 0 to %" PRId64 " on axis %d, got %" PRId64
                            " to %" PRId64,
                            who, a->shape[i], i, from[i], to[i]);
        shape[i] = to[i] > from[i] ? (to[i] - from[i] - 1) / step[i] + 1 : 0;
    }
    return CNN_OK;
}

/* Where the block starts in a, and its strides there. A step past the axis is never taken and counts as its
 * size. */
static int64_t block_strides(const cnn_tensor *a, const int64_t *from, const int64_t *step,
                             int64_t *strides) {
    int64_t offset = 0;
    cnn_strides(a->rank, a->shape, strides);
    for (int i = 0; i < a->rank; i++) {
        offset += from[i] * strides[i];
        strides[i] *= step[i] < a->shape[i] ? step[i] : a->shape[i];
    }
    return offset;
}

void cnn_slice_into(cnn_tensor *out, const cnn_tensor *a, const int64_t *from, const int64_t *step) {
    int64_t in_stride[CNN_MAX_RANK], out_stride[CNN_MAX_RANK];
    int64_t offset = block_strides(a, from, step, in_stride);
    cnn_strides(out->rank, out->shape, out_stride);
    cnn_copy_strided(cnn_dtype_size(a->dtype), a->rank, out->shape, out->data, out_stride, at(a, offset),
                     in_stride);
}

cnn_status cnn_slice(cnn_tensor **out, const cnn_tensor *a, const int64_t *from, const int64_t *to,
                     const int64_t *step) {
    CNN_TRY(cnn_check_values("slice", a));
    int64_t shape[CNN_MAX_RANK];
    CNN_TRY(block_shape("slice", a, from, to, step, shape));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("slice", &t, a->dtype, a->rank, shape));
    cnn_slice_into(t, a, from, step);
    *out = t;
    return CNN_OK;
}

static bool shares_memory(const cnn_tensor *a, const cnn_tensor *b) {
    const char *x = a->data, *y = b->data;
    return x < y + cnn_tensor_bytes(b) && y < x + cnn_tensor_bytes(a);
}

/* An error unless a broadcasts to shape. */
static cnn_status check_broadcast(const char *who, const cnn_tensor *a, int rank, const int64_t *shape) {
    bool fits = a->rank <= rank;
    for (int i = 1; i <= a->rank && fits; i++) {
        int64_t size = a->shape[a->rank - i];
        fits = size == 1 || size == shape[rank - i];
    }
    if (fits) return CNN_OK;
    char left[CNN_SHAPE_TEXT], right[CNN_SHAPE_TEXT];
    return cnn_fail(CNN_ERROR_SHAPE, "%s: the shape %s does not broadcast to %s", who,
                    cnn_shape_text(left, sizeof left, a->rank, a->shape),
                    cnn_shape_text(right, sizeof right, rank, shape));
}

cnn_status cnn_slice_assign(cnn_tensor *a, const int64_t *from, const int64_t *to, const int64_t *step,
                            const cnn_tensor *source) {
    CNN_TRY(cnn_check_values("assign", a));
    CNN_TRY(cnn_check_values("assign", source));
    int64_t shape[CNN_MAX_RANK], out_stride[CNN_MAX_RANK], in_stride[CNN_MAX_RANK];
    CNN_TRY(block_shape("assign", a, from, to, step, shape));
    if (a->dtype != source->dtype)
        return cnn_fail(CNN_ERROR_DTYPE, "assign: expected %s values, got %s", cnn_dtype_name(a->dtype),
                        cnn_dtype_name(source->dtype));
    CNN_TRY(check_broadcast("assign", source, a->rank, shape));
    cnn_tensor *copy = NULL;
    if (shares_memory(a, source)) CNN_TRY(cnn_copy(&copy, source));
    if (copy) source = copy;
    int64_t offset = block_strides(a, from, step, out_stride);
    cnn_broadcast_strides(source, a->rank, shape, in_stride);
    cnn_copy_strided(cnn_dtype_size(a->dtype), a->rank, shape, at(a, offset), out_stride, source->data,
                     in_stride);
    cnn_tensor_release(copy);
    return CNN_OK;
}

void cnn_broadcast_into(cnn_tensor *out, const cnn_tensor *a) {
    int64_t in_stride[CNN_MAX_RANK], out_stride[CNN_MAX_RANK];
    cnn_strides(out->rank, out->shape, out_stride);
    cnn_broadcast_strides(a, out->rank, out->shape, in_stride);
    cnn_copy_strided(cnn_dtype_size(out->dtype), out->rank, out->shape, out->data, out_stride, a->data,
                     in_stride);
}

cnn_status cnn_broadcast_to(cnn_tensor **out, const cnn_tensor *a, int rank, const int64_t *shape) {
    CNN_TRY(cnn_check_values("broadcast_to", a));
    cnn_tensor *t;
    CNN_TRY(cnn_shape_size("broadcast_to", a->dtype, rank, shape) < 0 ? CNN_ERROR_SHAPE : CNN_OK);
    CNN_TRY(check_broadcast("broadcast_to", a, rank, shape));
    CNN_TRY(cnn_tensor_alloc_for("broadcast_to", &t, a->dtype, rank, shape));
    cnn_broadcast_into(t, a);
    *out = t;
    return CNN_OK;
}

cnn_status cnn_flip(cnn_tensor **out, const cnn_tensor *a, int axis) {
    CNN_TRY(cnn_check_values("flip", a));
    CNN_TRY(cnn_normalize_axis("flip", axis, a->rank, &axis));
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("flip", &t, a->dtype, a->rank, a->shape));
    int64_t in_stride[CNN_MAX_RANK], out_stride[CNN_MAX_RANK], offset = 0;
    cnn_strides(a->rank, a->shape, out_stride);
    cnn_strides(a->rank, a->shape, in_stride);
    if (a->size > 0) offset = (a->shape[axis] - 1) * in_stride[axis];
    in_stride[axis] = -in_stride[axis];
    cnn_copy_strided(cnn_dtype_size(a->dtype), a->rank, a->shape, t->data, out_stride, at(a, offset),
                     in_stride);
    *out = t;
    return CNN_OK;
}

cnn_status cnn_pad(cnn_tensor **out, const cnn_tensor *a, const int64_t *before, const int64_t *after,
                   double value) {
    CNN_TRY(cnn_check_values("pad", a));
    int64_t shape[CNN_MAX_RANK], in_stride[CNN_MAX_RANK], out_stride[CNN_MAX_RANK], offset = 0;
    for (int i = 0; i < a->rank; i++) {
        if (before[i] < 0 || after[i] < 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "pad: expected widths of at least 0, got %" PRId64 " and %" PRId64 " on axis %d",
                            before[i], after[i], i);
        if (__builtin_add_overflow(a->shape[i], before[i], &shape[i]) ||
            __builtin_add_overflow(shape[i], after[i], &shape[i]))
            shape[i] = INT64_MAX; /* which no tensor can have */
    }
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("pad", &t, a->dtype, a->rank, shape));
    cnn_fill_into(t, value);
    cnn_strides(a->rank, a->shape, in_stride);
    cnn_strides(a->rank, shape, out_stride);
    for (int i = 0; i < a->rank; i++) offset += before[i] * out_stride[i];
    cnn_copy_strided(cnn_dtype_size(a->dtype), a->rank, a->shape, at(t, offset), out_stride, a->data,
                     in_stride);
    *out = t;
    return CNN_OK;
}

/* Each axis becomes two, times and size; the copy steps through the source by 0 along the first. */
cnn_status cnn_tile(cnn_tensor **out, const cnn_tensor *a, const int64_t *times) {
    CNN_TRY(cnn_check_values("tile", a));
    int64_t shape[CNN_MAX_RANK], in_own[CNN_MAX_RANK], out_own[CNN_MAX_RANK];
    for (int i = 0; i < a->rank; i++) {
        if (times[i] < 0)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "tile: expected counts of at least 0, got %" PRId64 " on axis %d", times[i], i);
        if (__builtin_mul_overflow(a->shape[i], times[i], &shape[i])) shape[i] = INT64_MAX;
    }
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("tile", &t, a->dtype, a->rank, shape));
    int64_t both[2 * CNN_MAX_RANK], in_stride[2 * CNN_MAX_RANK], out_stride[2 * CNN_MAX_RANK];
    cnn_strides(a->rank, a->shape, in_own);
    cnn_strides(a->rank, shape, out_own);
    for (int i = 0; i < a->rank; i++) {
        both[2 * i] = times[i];
        both[2 * i + 1] = a->shape[i];
        in_stride[2 * i] = 0;
        in_stride[2 * i + 1] = in_own[i];
        out_stride[2 * i] = t->size > 0 ? a->shape[i] * out_own[i] : 0;
        out_stride[2 * i + 1] = out_own[i];
    }
    cnn_copy_strided(cnn_dtype_size(a->dtype), 2 * a->rank, both, t->data, out_stride, a->data, in_stride);
    *out = t;
    return CNN_OK;
}

/* ---- by index ---------------------------------------------------------------------------------------- */

typedef struct gather_job {
    const int32_t *index;
    int64_t count, size; /* indices, and what they choose from */
    size_t bytes;        /* of the block each index names */
    char *out;
    const char *in;
} gather_job;

static void gather_range(void *context, int64_t from, int64_t to) {
    const gather_job *job = context;
    for (int64_t i = from; i < to; i++) {
        int64_t outer = i / job->count, row = outer * job->size + job->index[i % job->count];
        memcpy(job->out + (size_t)i * job->bytes, job->in + (size_t)row * job->bytes, job->bytes);
    }
}

static cnn_status check_index(const cnn_tensor *index, int64_t size, int axis) {
    if (index->dtype != CNN_INT32)
        return cnn_fail(CNN_ERROR_DTYPE, "gather: expected int32 indices, got %s",
                        cnn_dtype_name(index->dtype));
    const int32_t *values = index->data;
    for (int64_t i = 0; i < index->size; i++)
        if (values[i] < 0 || values[i] >= size)
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "gather: index %" PRId32 " (number %" PRId64
                            ") is outside axis %d of size %" PRId64,
                            values[i], i + 1, axis, size);
    return CNN_OK;
}

cnn_status cnn_gather(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *index, int axis) {
    CNN_TRY(cnn_check_values("gather", a));
    CNN_TRY(cnn_check_values("gather", index));
    CNN_TRY(cnn_normalize_axis("gather", axis, a->rank, &axis));
    CNN_TRY(check_index(index, a->shape[axis], axis));
    int rank = a->rank - 1 + index->rank;
    if (rank > CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "gather: the result would have %d axes, at most %d can be", rank,
                        CNN_MAX_RANK);
    int64_t shape[CNN_MAX_RANK], outer = 1, inner = 1;
    for (int i = 0; i < rank; i++)
        shape[i] = i < axis                 ? a->shape[i]
                   : i < axis + index->rank ? index->shape[i - axis]
                                            : a->shape[i - index->rank + 1];
    for (int i = 0; i < a->rank; i++) *(i < axis ? &outer : &inner) *= i == axis ? 1 : a->shape[i];
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("gather", &t, a->dtype, rank, shape));
    if (t->size > 0) {
        gather_job job = {index->data, index->size, a->shape[axis], (size_t)inner * cnn_dtype_size(a->dtype),
                          t->data,     a->data};
        cnn_parallel_ranges(outer * index->size, inner < CNN_GRAIN ? CNN_GRAIN / inner : 1, gather_range,
                            &job);
    }
    *out = t;
    return CNN_OK;
}

cnn_status cnn_one_hot(cnn_tensor **out, const cnn_tensor *labels, int64_t depth) {
    CNN_TRY(cnn_check_values("one_hot", labels));
    if (depth < 1)
        return cnn_fail(CNN_ERROR_ARGUMENT, "one_hot: expected at least 1 class, got %" PRId64, depth);
    if (labels->rank == CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "one_hot: the labels have %d axes already", CNN_MAX_RANK);
    for (int64_t i = 0; i < labels->size; i++) {
        double label = cnn_tensor_get(labels, i);
        if (!(label >= 0 && label < (double)depth) || label != floor(label))
            return cnn_fail(CNN_ERROR_ARGUMENT,
                            "one_hot: expected whole labels from 0 to %" PRId64 ", got %g (number %" PRId64
                            ")",
                            depth - 1, label, i + 1);
    }
    int64_t shape[CNN_MAX_RANK];
    memcpy(shape, labels->shape, sizeof shape);
    shape[labels->rank] = depth;
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("one_hot", &t, CNN_FLOAT32, labels->rank + 1, shape));
    cnn_fill_into(t, 0);
    for (int64_t i = 0; i < labels->size; i++) cnn_f32(t)[i * depth + (int64_t)cnn_tensor_get(labels, i)] = 1;
    *out = t;
    return CNN_OK;
}
