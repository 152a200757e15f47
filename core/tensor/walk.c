/* Broadcast walks: operands of one output, fetched chunk by chunk as plain rows of one dtype.
 *
 * Long rows are met where they lie. Rows shorter than CNN_WALK_SHORT_ROW (three channels, ten classes) would
 * drown in calls, so they are laid out side by side in a buffer first; a short row that repeats is laid out
 * once a task. */
#include "tensor/rows.h"
#include "tensor/tensor.h"

#include <string.h>

/* Adjacent axes are one to walk when every operand steps through them as through one. */
static bool can_merge(const cnn_walk *walk, int count, int64_t strides[][CNN_MAX_RANK], int axis,
                      int64_t size) {
    int last = walk->rank - 1;
    for (int k = 0; k < count; k++)
        if (walk->operand[k].stride[last] != strides[k][axis] * size) return false;
    return true;
}

static void classify(const cnn_walk *walk, cnn_operand *operand) {
    int64_t dense[CNN_MAX_RANK];
    cnn_strides(walk->rank, walk->shape, dense);
    bool is_dense = true, is_scalar = true, is_periodic = true;
    for (int i = 0; i < walk->rank; i++) {
        int64_t stride = operand->stride[i];
        if (walk->shape[i] != 1 && stride != dense[i]) is_dense = false;
        if (walk->shape[i] != 1 && stride != 0) {
            is_scalar = false;
            if (i < walk->rank - 1) is_periodic = false;
        }
    }
    operand->kind = is_scalar     ? CNN_WALK_SCALAR
                    : is_dense    ? CNN_WALK_DENSE
                    : is_periodic ? CNN_WALK_PERIODIC
                                  : CNN_WALK_GENERAL;
}

void cnn_walk_init(cnn_walk *walk, int rank, const int64_t *shape, int count,
                   const cnn_tensor *const *operands) {
    int64_t strides[CNN_WALK_OPERANDS][CNN_MAX_RANK];
    memset(walk, 0, sizeof *walk);
    walk->size = 1;
    for (int k = 0; k < count; k++) {
        cnn_broadcast_strides(operands[k], rank, shape, strides[k]);
        walk->operand[k].data = operands[k]->data;
        walk->operand[k].dtype = operands[k]->dtype;
    }
    for (int i = 0; i < rank; i++) {
        walk->size *= shape[i];
        if (shape[i] == 1) continue;
        if (walk->rank > 0 && can_merge(walk, count, strides, i, shape[i]))
            walk->shape[walk->rank - 1] *= shape[i];
        else
            walk->shape[walk->rank++] = shape[i];
        for (int k = 0; k < count; k++) walk->operand[k].stride[walk->rank - 1] = strides[k][i];
    }
    if (walk->rank == 0) walk->shape[walk->rank++] = 1;
    for (int k = 0; k < count; k++) classify(walk, &walk->operand[k]);
}

static int64_t row_length(const cnn_walk *walk) {
    return walk->shape[walk->rank - 1];
}

static bool short_rows(const cnn_walk *walk) {
    return walk->rank > 1 && row_length(walk) < CNN_WALK_SHORT_ROW;
}

int64_t cnn_walk_chunk(const cnn_walk *walk, int64_t position, int64_t limit) {
    int64_t most = limit - position < CNN_WALK_CHUNK ? limit - position : CNN_WALK_CHUNK;
    if (walk->rank == 1 || short_rows(walk)) return most;
    int64_t left = row_length(walk) - position % row_length(walk);
    return left < most ? left : most;
}

/* Where in the operand the element at a position of the output lies; its index on each axis into index. */
static int64_t locate(const cnn_walk *walk, const cnn_operand *operand, int64_t position, int64_t *index) {
    int64_t offset = 0;
    for (int i = walk->rank - 1; i >= 0; i--) {
        index[i] = position % walk->shape[i];
        position /= walk->shape[i];
        offset += index[i] * operand->stride[i];
    }
    return offset;
}

static void lay_out(char *out, const char *in, size_t element, int64_t stride, int64_t n) {
    if (stride == 1) {
        memcpy(out, in, (size_t)n * element);
    } else if (element == 4) {
        int32_t value;
        memcpy(&value, in, sizeof value);
        for (int64_t i = 0; i < n; i++) memcpy(out + 4 * i, &value, sizeof value);
    } else {
        for (int64_t i = 0; i < n; i++) memcpy(out + i * (int64_t)element, in, element);
    }
}

/* The operand's elements for `count` elements of the output, side by side. */
static void spread(const cnn_walk *walk, const cnn_operand *operand, int64_t position, int64_t count,
                   char *out) {
    int64_t index[CNN_MAX_RANK], offset = locate(walk, operand, position, index);
    int64_t element = (int64_t)cnn_dtype_size(operand->dtype), row = row_length(walk);
    int last = walk->rank - 1;
    for (int64_t done = 0; done < count;) {
        int64_t n = row - index[last] < count - done ? row - index[last] : count - done;
        lay_out(out + done * element, operand->data + offset * element, (size_t)element,
                operand->stride[last], n);
        done += n;
        offset += n * operand->stride[last];
        index[last] += n;
        for (int i = last; i > 0 && index[i] == walk->shape[i]; i--) {
            offset += operand->stride[i - 1] - index[i] * operand->stride[i];
            index[i] = 0;
            index[i - 1]++;
        }
    }
}

static const void *converted(cnn_dtype want, const cnn_operand *operand, const char *data, int64_t count,
                             cnn_walk_buffer *buffer) {
    if (want == operand->dtype) return data;
    cnn_row_cast(want, buffer->values, operand->dtype, data, count);
    return buffer->values;
}

static const void *fetch_periodic(const cnn_walk *walk, const cnn_operand *operand, cnn_dtype want,
                                  int64_t position, cnn_walk_buffer *buffer) {
    int64_t period = row_length(walk), element = (int64_t)cnn_dtype_size(want);
    if (!buffer->filled) {
        cnn_row_cast(want, buffer->values, operand->dtype, operand->data, period);
        int64_t total = CNN_WALK_CHUNK + period;
        for (int64_t have = period; have < total; have *= 2)
            memcpy(buffer->values + have * element, buffer->values,
                   (size_t)((total - have < have ? total - have : have) * element));
        buffer->filled = true;
    }
    return buffer->values + position % period * element;
}

const void *cnn_walk_fetch(const cnn_walk *walk, int k, cnn_dtype want, int64_t position, int64_t count,
                           cnn_walk_buffer *buffer, int *step) {
    const cnn_operand *operand = &walk->operand[k];
    int64_t element = (int64_t)cnn_dtype_size(operand->dtype);
    *step = operand->kind != CNN_WALK_SCALAR;
    if (operand->kind == CNN_WALK_SCALAR) {
        if (!buffer->filled) cnn_row_cast(want, buffer->values, operand->dtype, operand->data, 1);
        buffer->filled = true;
        return buffer->values;
    }
    if (operand->kind == CNN_WALK_DENSE)
        return converted(want, operand, operand->data + position * element, count, buffer);
    if (short_rows(walk)) {
        if (operand->kind == CNN_WALK_PERIODIC) return fetch_periodic(walk, operand, want, position, buffer);
        spread(walk, operand, position, count, buffer->raw);
        return converted(want, operand, buffer->raw, count, buffer);
    }
    int64_t index[CNN_MAX_RANK];
    const char *data = operand->data + locate(walk, operand, position, index) * element;
    *step = operand->stride[walk->rank - 1] != 0;
    return converted(want, operand, data, *step ? count : 1, buffer);
}
