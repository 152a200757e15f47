/* Tensors side by side: along an axis they have (concat) or along a new one (stack). */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/status.h"
#include "base/text.h"

#include <string.h>

/* Copies a part to where its first element lies in out. */
static void place(cnn_tensor *out, const cnn_tensor *part, const int64_t *shape, int64_t offset,
                  const int64_t *out_stride) {
    int64_t in_stride[CNN_MAX_RANK];
    size_t element = cnn_dtype_size(out->dtype);
    cnn_strides(out->rank, shape, in_stride);
    cnn_copy_strided(element, out->rank, shape, (char *)out->data + offset * (int64_t)element, out_stride,
                     part->data, in_stride);
}

void cnn_concat_into(cnn_tensor *out, const cnn_tensor *const *parts, int count, int axis) {
    int64_t out_stride[CNN_MAX_RANK], offset = 0;
    cnn_strides(out->rank, out->shape, out_stride);
    for (int i = 0; i < count; i++) {
        place(out, parts[i], parts[i]->shape, offset, out_stride);
        offset += parts[i]->shape[axis] * out_stride[axis];
    }
}

static cnn_status check_parts(const char *who, const cnn_tensor *const *parts, int count) {
    if (count < 1) return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected at least one tensor, got none", who);
    for (int i = 0; i < count; i++) {
        CNN_TRY(cnn_check_values(who, parts[i]));
        if (parts[i]->dtype != parts[0]->dtype)
            return cnn_fail(CNN_ERROR_DTYPE,
                            "%s: expected tensors of one dtype, got %s first and %s as number %d", who,
                            cnn_dtype_name(parts[0]->dtype), cnn_dtype_name(parts[i]->dtype), i + 1);
    }
    return CNN_OK;
}

static cnn_status shapes_differ(const char *who, const char *expected, const cnn_tensor *first,
                                const cnn_tensor *other, int number) {
    char left[CNN_SHAPE_TEXT], right[CNN_SHAPE_TEXT];
    return cnn_fail(CNN_ERROR_SHAPE, "%s: expected %s, got %s first and %s as number %d", who, expected,
                    cnn_shape_text(left, sizeof left, first->rank, first->shape),
                    cnn_shape_text(right, sizeof right, other->rank, other->shape), number);
}

cnn_status cnn_concat(cnn_tensor **out, const cnn_tensor *const *parts, int count, int axis) {
    CNN_TRY(check_parts("concat", parts, count));
    const cnn_tensor *first = parts[0];
    if (first->rank == 0)
        return cnn_fail(CNN_ERROR_SHAPE, "concat: scalars have no axis to join along (see stack)");
    CNN_TRY(cnn_normalize_axis("concat", axis, first->rank, &axis));
    int64_t shape[CNN_MAX_RANK];
    memcpy(shape, first->shape, sizeof shape);
    for (int i = 1; i < count; i++) {
        bool fits = parts[i]->rank == first->rank;
        for (int k = 0; k < first->rank && fits; k++)
            fits = k == axis || parts[i]->shape[k] == first->shape[k];
        if (!fits) return shapes_differ("concat", "shapes equal but for one axis", first, parts[i], i + 1);
        shape[axis] += parts[i]->shape[axis];
    }
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("concat", &t, first->dtype, first->rank, shape));
    cnn_concat_into(t, parts, count, axis);
    *out = t;
    return CNN_OK;
}

cnn_status cnn_stack(cnn_tensor **out, const cnn_tensor *const *parts, int count, int axis) {
    CNN_TRY(check_parts("stack", parts, count));
    const cnn_tensor *first = parts[0];
    CNN_TRY(cnn_normalize_axis("stack", axis, first->rank + 1, &axis));
    if (first->rank == CNN_MAX_RANK)
        return cnn_fail(CNN_ERROR_SHAPE, "stack: the tensors have %d axes already", CNN_MAX_RANK);
    for (int i = 1; i < count; i++)
        if (!cnn_same_shape(parts[i], first))
            return shapes_differ("stack", "equal shapes", first, parts[i], i + 1);
    int64_t shape[CNN_MAX_RANK], stride[CNN_MAX_RANK];
    for (int i = 0; i <= first->rank; i++)
        shape[i] = i < axis ? first->shape[i] : i == axis ? count : first->shape[i - 1];
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("stack", &t, first->dtype, first->rank + 1, shape));
    cnn_strides(t->rank, shape, stride);
    shape[axis] = 1;
    for (int i = 0; i < count; i++) place(t, parts[i], shape, i * stride[axis], stride);
    *out = t;
    return CNN_OK;
}
