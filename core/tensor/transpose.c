/* Axes in a new order. */
#include "tensor/tensor.h"
#include "tensor/rows.h"
#include "base/status.h"

void cnn_transpose_into(cnn_tensor *out, const cnn_tensor *a, const int *axes) {
    int64_t out_stride[CNN_MAX_RANK], own[CNN_MAX_RANK], in_stride[CNN_MAX_RANK];
    cnn_strides(out->rank, out->shape, out_stride);
    cnn_strides(a->rank, a->shape, own);
    for (int i = 0; i < a->rank; i++) in_stride[i] = own[axes ? axes[i] : a->rank - 1 - i];
    cnn_copy_strided(cnn_dtype_size(a->dtype), out->rank, out->shape, out->data, out_stride, a->data,
                     in_stride);
}

cnn_status cnn_transpose(cnn_tensor **out, const cnn_tensor *a, const int *axes) {
    CNN_TRY(cnn_check_values("transpose", a));
    int order[CNN_MAX_RANK];
    int64_t shape[CNN_MAX_RANK];
    unsigned seen = 0;
    for (int i = 0; i < a->rank; i++) {
        order[i] = a->rank - 1 - i;
        if (axes) CNN_TRY(cnn_normalize_axis("transpose", axes[i], a->rank, &order[i]));
        if (seen >> order[i] & 1)
            return cnn_fail(CNN_ERROR_ARGUMENT, "transpose: expected every axis once, got axis %d twice",
                            order[i]);
        seen |= 1u << order[i];
        shape[i] = a->shape[order[i]];
    }
    cnn_tensor *t;
    CNN_TRY(cnn_tensor_alloc_for("transpose", &t, a->dtype, a->rank, shape));
    cnn_transpose_into(t, a, order);
    *out = t;
    return CNN_OK;
}
