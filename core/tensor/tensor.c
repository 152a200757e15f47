/* Tensors as objects: made, retained, released, viewed, and read or written element by element.
 *
 * A tensor and its elements are one block of memory: the header fills the first 64-byte lines, the elements
 * follow. A view is a header alone that retains its base; a base is never a view itself. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

void (*cnn_node_release_hook)(struct cnn_node *node);

static const char *const dtype_names[] = {"float32", "uint8", "int32", "bfloat16", NULL};
static const size_t dtype_sizes[] = {4, 1, 4, 2};

static bool is_dtype(cnn_dtype dtype) {
    return (unsigned)dtype < sizeof dtype_sizes / sizeof *dtype_sizes;
}

const char *cnn_dtype_name(cnn_dtype dtype) {
    return is_dtype(dtype) ? dtype_names[dtype] : "unknown";
}

size_t cnn_dtype_size(cnn_dtype dtype) {
    return is_dtype(dtype) ? dtype_sizes[dtype] : 1;
}

cnn_status cnn_dtype_from_name(cnn_dtype *out, const char *name) {
    for (int i = 0; name && dtype_names[i]; i++) {
        if (strcmp(name, dtype_names[i]) == 0) {
            *out = (cnn_dtype)i;
            return CNN_OK;
        }
    }
    const char *nearest = name ? cnn_nearest(name, dtype_names) : NULL;
    return cnn_fail(CNN_ERROR_DTYPE, "dtype: expected float32, uint8, int32 or bfloat16, got '%.40s'%s%s%s",
                    name ? name : "", nearest ? " (did you mean '" : "", nearest ? nearest : "",
                    nearest ? "'?)" : "");
}

/* ---- shapes ------------------------------------------------------------------------------------------ */

int64_t cnn_shape_size(const char *who, cnn_dtype dtype, int rank, const int64_t *shape) {
    const int64_t most_bytes = INT64_C(1) << 40;
    if (!is_dtype(dtype)) {
        cnn_fail(CNN_ERROR_DTYPE, "%s: unknown dtype %d", who, (int)dtype);
        return -1;
    }
    if (rank < 0 || rank > CNN_MAX_RANK) {
        cnn_fail(CNN_ERROR_SHAPE, "%s: expected at most %d axes, got %d", who, CNN_MAX_RANK, rank);
        return -1;
    }
    /* Sizes of 0 count as 1 against the limit: strides of an empty tensor must not overflow either. */
    int64_t size = 1, room = most_bytes / (int64_t)cnn_dtype_size(dtype);
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0) {
            cnn_fail(CNN_ERROR_SHAPE, "%s: expected sizes of at least 0, got %" PRId64 " on axis %d", who,
                     shape[i], i);
            return -1;
        }
        if (shape[i] > 1 && room / shape[i] == 0) {
            char text[CNN_SHAPE_TEXT];
            cnn_fail(CNN_ERROR_SHAPE, "%s: a %s tensor of shape %s is too big (more than 2^40 bytes)", who,
                     cnn_dtype_name(dtype), cnn_shape_text(text, sizeof text, rank, shape));
            return -1;
        }
        if (shape[i] > 1) room /= shape[i];
        size *= shape[i];
    }
    return size;
}

bool cnn_same_shape(const cnn_tensor *a, const cnn_tensor *b) {
    return a->rank == b->rank && (a->rank == 0 || memcmp(a->shape, b->shape, sizeof(int64_t) * a->rank) == 0);
}

cnn_status cnn_normalize_axis(const char *who, int axis, int rank, int *normalized) {
    if (axis < -rank || axis >= rank)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: axis %d is outside a tensor of %d ax%s", who, axis, rank,
                        rank == 1 ? "is" : "es");
    *normalized = axis < 0 ? axis + rank : axis;
    return CNN_OK;
}

cnn_status cnn_broadcast_shape(const char *who, const cnn_tensor *a, const cnn_tensor *b, int *rank,
                               int64_t *shape) {
    int most = a->rank > b->rank ? a->rank : b->rank;
    int64_t merged[CNN_MAX_RANK];
    for (int i = 1; i <= most; i++) {
        int64_t m = i <= a->rank ? a->shape[a->rank - i] : 1;
        int64_t n = i <= b->rank ? b->shape[b->rank - i] : 1;
        if (m != n && m != 1 && n != 1) {
            char left[CNN_SHAPE_TEXT], right[CNN_SHAPE_TEXT];
            return cnn_fail(CNN_ERROR_SHAPE, "%s: the shapes %s and %s do not broadcast together", who,
                            cnn_shape_text(left, sizeof left, a->rank, a->shape),
                            cnn_shape_text(right, sizeof right, b->rank, b->shape));
        }
        merged[most - i] = m == 1 ? n : m;
    }
    *rank = most;
    if (most > 0) memcpy(shape, merged, sizeof(int64_t) * most);
    return CNN_OK;
}

cnn_status cnn_check_values(const char *who, const cnn_tensor *a) {
    if (!a) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected a tensor, got none", who);
    if (!a->data) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: a symbolic tensor has no values", who);
    return CNN_OK;
}

/* ---- making ------------------------------------------------------------------------------------------ */

enum { HEADER = CNN_ROUND_UP(sizeof(cnn_tensor), CNN_ALIGN) };

static void set_header(cnn_tensor *t, cnn_dtype dtype, int rank, const int64_t *shape, int64_t size,
                       void *data) {
    *t = (cnn_tensor){.refs = 1, .dtype = dtype, .rank = rank, .size = size, .data = data};
    if (rank > 0) memcpy(t->shape, shape, sizeof(int64_t) * rank);
}

static cnn_status out_of_memory(const char *who, size_t bytes) {
    cnn_fail_in(cnn_fail_memory(bytes), who);
    return CNN_ERROR_MEMORY;
}

static cnn_status make(const char *who, cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape,
                       bool zeroed) {
    int64_t size = cnn_shape_size(who, dtype, rank, shape);
    if (size < 0) return is_dtype(dtype) ? CNN_ERROR_SHAPE : CNN_ERROR_DTYPE;
    size_t bytes = HEADER + (size_t)size * cnn_dtype_size(dtype);
    cnn_tensor *t = zeroed ? cnn_calloc(bytes) : cnn_malloc(bytes);
    if (!t) return out_of_memory(who, bytes);
    set_header(t, dtype, rank, shape, size, (char *)t + HEADER);
    *out = t;
    return CNN_OK;
}

/* A header that shares the memory of a from an element on. */
static cnn_status make_view(const char *who, cnn_tensor **out, cnn_tensor *a, int rank, const int64_t *shape,
                            int64_t size, int64_t offset) {
    cnn_tensor *t = cnn_malloc(sizeof *t);
    if (!t) return out_of_memory(who, sizeof *t);
    set_header(t, a->dtype, rank, shape, size, (char *)a->data + offset * (int64_t)cnn_dtype_size(a->dtype));
    t->base = cnn_tensor_retain(a->base ? a->base : a);
    *out = t;
    return CNN_OK;
}

cnn_status cnn_tensor_new(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape) {
    return make("zeros", out, dtype, rank, shape, true);
}

cnn_status cnn_tensor_alloc(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape) {
    return make("tensor", out, dtype, rank, shape, false);
}

cnn_status cnn_tensor_alloc_for(const char *who, cnn_tensor **out, cnn_dtype dtype, int rank,
                                const int64_t *shape) {
    return make(who, out, dtype, rank, shape, false);
}

cnn_status cnn_tensor_alloc_like(cnn_tensor **out, const cnn_tensor *a, cnn_dtype dtype) {
    return make("tensor", out, dtype, a->rank, a->shape, false);
}

cnn_status cnn_tensor_symbolic(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape) {
    int64_t known[CNN_MAX_RANK] = {0};
    bool unknown = false;
    for (int i = 0; i < rank && i < CNN_MAX_RANK; i++) {
        known[i] = shape[i] == -1 ? 1 : shape[i];
        if (shape[i] == -1) unknown = true;
    }
    int64_t size = cnn_shape_size("tensor", dtype, rank, known);
    if (size < 0) return is_dtype(dtype) ? CNN_ERROR_SHAPE : CNN_ERROR_DTYPE;
    cnn_tensor *t = cnn_malloc(sizeof *t);
    if (!t) return out_of_memory("tensor", sizeof *t);
    set_header(t, dtype, rank, shape, unknown ? -1 : size, NULL);
    *out = t;
    return CNN_OK;
}

cnn_tensor cnn_tensor_wrap(cnn_dtype dtype, int rank, const int64_t *shape, void *data) {
    cnn_tensor t;
    int64_t size = 1;
    for (int i = 0; i < rank; i++) size *= shape[i];
    set_header(&t, dtype, rank, shape, size, data);
    return t;
}

cnn_status cnn_tensor_full(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape, double value) {
    cnn_tensor *t;
    CNN_TRY(make("full", &t, dtype, rank, shape, false));
    cnn_fill_into(t, value);
    *out = t;
    return CNN_OK;
}

cnn_status cnn_tensor_from(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape,
                           const void *values) {
    cnn_tensor *t;
    CNN_TRY(make("tensor", &t, dtype, rank, shape, false));
    if (t->size > 0) memcpy(t->data, values, cnn_tensor_bytes(t));
    *out = t;
    return CNN_OK;
}

cnn_status cnn_arange(cnn_tensor **out, cnn_dtype dtype, double start, double stop, double step) {
    if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "arange: expected finite numbers and a step other than 0, got %g, %g, step %g", start,
                        stop, step);
    double count = ceil((stop - start) / step);
    int64_t size = count < 1 ? 0 : count > 0x1p60 ? INT64_C(1) << 60 : (int64_t)count;
    cnn_tensor *t;
    CNN_TRY(make("arange", &t, dtype, 1, &size, false));
    for (int64_t i = 0; i < size; i++) {
        double value = start + (double)i * step;
        bool integer = dtype == CNN_INT32 || dtype == CNN_UINT8;
        cnn_store(dtype, t->data, i, integer ? trunc(value) : value);
    }
    *out = t;
    return CNN_OK;
}

cnn_status cnn_eye(cnn_tensor **out, cnn_dtype dtype, int64_t rows, int64_t columns) {
    cnn_tensor *t;
    CNN_TRY(make("eye", &t, dtype, 2, (int64_t[]){rows, columns}, true));
    for (int64_t i = 0; i < rows && i < columns; i++) cnn_store(dtype, t->data, i * (columns + 1), 1);
    *out = t;
    return CNN_OK;
}

/* ---- references -------------------------------------------------------------------------------------- */

cnn_tensor *cnn_tensor_retain(cnn_tensor *tensor) {
    if (tensor) __atomic_fetch_add(&tensor->refs, 1, __ATOMIC_RELAXED);
    return tensor;
}

void cnn_tensor_release(cnn_tensor *tensor) {
    if (!tensor || __atomic_sub_fetch(&tensor->refs, 1, __ATOMIC_ACQ_REL) > 0) return;
    if (tensor->node && cnn_node_release_hook) cnn_node_release_hook(tensor->node);
    cnn_tensor_release(tensor->base);
    cnn_free(tensor);
}

/* ---- elements ---------------------------------------------------------------------------------------- */

size_t cnn_tensor_bytes(const cnn_tensor *tensor) {
    return tensor->size > 0 ? (size_t)tensor->size * cnn_dtype_size(tensor->dtype) : 0;
}

float *cnn_f32(const cnn_tensor *tensor) {
    return tensor->data;
}

uint8_t *cnn_u8(const cnn_tensor *tensor) {
    return tensor->data;
}

int32_t *cnn_i32(const cnn_tensor *tensor) {
    return tensor->data;
}

static bool has_element(const cnn_tensor *tensor, int64_t position) {
    return tensor->data && position >= 0 && position < tensor->size;
}

double cnn_tensor_get(const cnn_tensor *tensor, int64_t position) {
    if (!has_element(tensor, position)) return NAN;
    double value;
    cnn_row_to_double(&value, tensor->dtype,
                      (const char *)tensor->data + position * (int64_t)cnn_dtype_size(tensor->dtype), 1);
    return value;
}

void cnn_tensor_set(cnn_tensor *tensor, int64_t position, double value) {
    if (has_element(tensor, position)) cnn_store(tensor->dtype, tensor->data, position, value);
}

void cnn_fill_into(cnn_tensor *out, double value) {
    if (out->size <= 0) return;
    cnn_store(out->dtype, out->data, 0, value);
    cnn_copy_strided(cnn_dtype_size(out->dtype), 1, (int64_t[]){out->size - 1},
                     (char *)out->data + cnn_dtype_size(out->dtype), (int64_t[]){1}, out->data,
                     (int64_t[]){0});
}

/* ---- shared memory ----------------------------------------------------------------------------------- */

/* As cnn_shape_text, but with -1 as the caller wrote it. */
static const char *given_shape(char *buffer, size_t capacity, int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(buffer, capacity, "(");
    for (int i = 0; i < rank && used < capacity; i++)
        used += (size_t)snprintf(buffer + used, capacity - used, "%" PRId64 "%s", shape[i],
                                 i + 1 < rank ? ", "
                                 : rank == 1  ? ","
                                              : "");
    if (used < capacity) snprintf(buffer + used, capacity - used, ")");
    return buffer;
}

cnn_status cnn_reshape(cnn_tensor **out, cnn_tensor *a, int rank, const int64_t *shape) {
    CNN_TRY(cnn_check_values("reshape", a));
    int64_t sizes[CNN_MAX_RANK], known = 1;
    int open = -1;
    bool fits = rank >= 0 && rank <= CNN_MAX_RANK;
    for (int i = 0; i < rank && fits; i++) {
        sizes[i] = shape[i];
        if (shape[i] == -1 && open < 0)
            open = i;
        else if (shape[i] < 0 || __builtin_mul_overflow(known, shape[i], &known))
            fits = false;
    }
    if (fits && open >= 0) {
        fits = known > 0 && a->size % known == 0;
        if (fits) sizes[open] = a->size / known;
    } else if (fits) {
        fits = known == a->size;
    }
    if (!fits) {
        char text[CNN_SHAPE_TEXT];
        if (rank < 0 || rank > CNN_MAX_RANK)
            return cnn_fail(CNN_ERROR_SHAPE, "reshape: expected at most %d axes, got %d", CNN_MAX_RANK, rank);
        return cnn_fail(CNN_ERROR_SHAPE, "reshape: cannot give %" PRId64 " element%s the shape %s", a->size,
                        a->size == 1 ? "" : "s", given_shape(text, sizeof text, rank, shape));
    }
    if (cnn_shape_size("reshape", a->dtype, rank, sizes) < 0) return CNN_ERROR_SHAPE;
    return make_view("reshape", out, a, rank, sizes, a->size, 0);
}

cnn_status cnn_view(cnn_tensor **out, cnn_tensor *a, int64_t from, int64_t to) {
    CNN_TRY(cnn_check_values("view", a));
    if (a->rank == 0) return cnn_fail(CNN_ERROR_SHAPE, "view: a scalar has no rows");
    if (from < 0 || to < from || to > a->shape[0])
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "view: expected rows within 0 to %" PRId64 ", got %" PRId64 " to %" PRId64,
                        a->shape[0], from, to);
    int64_t shape[CNN_MAX_RANK], row = 1;
    memcpy(shape, a->shape, sizeof shape);
    shape[0] = to - from;
    for (int i = 1; i < a->rank; i++) row *= shape[i];
    return make_view("view", out, a, a->rank, shape, (to - from) * row, from * row);
}

cnn_status cnn_expand_dims(cnn_tensor **out, cnn_tensor *a, int axis) {
    CNN_TRY(cnn_check_values("expand_dims", a));
    CNN_TRY(cnn_normalize_axis("expand_dims", axis, a->rank + 1, &axis));
    if (a->rank == CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "expand_dims: the tensor has %d axes already", CNN_MAX_RANK);
    int64_t shape[CNN_MAX_RANK];
    for (int i = 0; i <= a->rank; i++) shape[i] = i < axis ? a->shape[i] : i == axis ? 1 : a->shape[i - 1];
    return make_view("expand_dims", out, a, a->rank + 1, shape, a->size, 0);
}

cnn_status cnn_squeeze(cnn_tensor **out, cnn_tensor *a, int axis) {
    CNN_TRY(cnn_check_values("squeeze", a));
    CNN_TRY(cnn_normalize_axis("squeeze", axis, a->rank, &axis));
    if (a->shape[axis] != 1)
        return cnn_fail(CNN_ERROR_SHAPE, "squeeze: axis %d has size %" PRId64 ", only size 1 can go", axis,
                        a->shape[axis]);
    int64_t shape[CNN_MAX_RANK];
    for (int i = 0; i < a->rank - 1; i++) shape[i] = a->shape[i < axis ? i : i + 1];
    return make_view("squeeze", out, a, a->rank - 1, shape, a->size, 0);
}
