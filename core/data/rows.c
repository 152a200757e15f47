/* Datasets of the rows of tensors. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef struct rows {
    cnn_dataset head;
    int count;
    cnn_tensor *tensors[CNN_MAX_PARTS];
} rows;

/* A view of one row, without the axis of rows. */
static cnn_status view_row(cnn_tensor **out, cnn_tensor *tensor, int64_t row) {
    cnn_tensor *view;
    CNN_TRY(cnn_view(&view, tensor, row, row + 1));
    view->rank--;
    memmove(view->shape, view->shape + 1, (size_t)view->rank * sizeof *view->shape);
    *out = view;
    return CNN_OK;
}

static cnn_status make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out) {
    const rows *r = (rows *)dataset;
    (void)maker;
    for (; out->count < r->count; out->count++)
        CNN_TRY(view_row(&out->parts[out->count], r->tensors[out->count], place.position));
    char name[40];
    snprintf(name, sizeof name, "sample %" PRId64, place.position + 1);
    out->name = cnn_strdup(name);
    return out->name ? CNN_OK : cnn_fail_memory(sizeof name);
}

static void close_rows(cnn_dataset *dataset) {
    rows *r = (rows *)dataset;
    for (int i = 0; i < r->count; i++) cnn_tensor_release(r->tensors[i]);
}

static const cnn_dataset_class rows_class = {.is_source = true, .make = make, .close = close_rows};

static cnn_status check(cnn_tensor *const *tensors, int count) {
    if (count < 1 || count > CNN_MAX_PARTS)
        return cnn_fail(CNN_ERROR_ARGUMENT, "from_tensors: expected 1 to %d tensors, got %d", CNN_MAX_PARTS,
                        count);
    for (int i = 0; i < count; i++) {
        CNN_TRY(cnn_check_values("from_tensors", tensors[i]));
        if (tensors[i]->rank == 0)
            return cnn_fail(CNN_ERROR_SHAPE, "from_tensors: tensor %d is a scalar, which has no rows", i + 1);
        if (tensors[i]->shape[0] != tensors[0]->shape[0])
            return cnn_fail(CNN_ERROR_SHAPE,
                            "from_tensors: expected equally many rows, got %" PRId64
                            " in tensor 1 and %" PRId64 " in tensor %d",
                            tensors[0]->shape[0], tensors[i]->shape[0], i + 1);
    }
    return CNN_OK;
}

cnn_status cnn_dataset_from_tensors(cnn_dataset **out, cnn_tensor *const *tensors, int count) {
    void *made;
    CNN_TRY(check(tensors, count));
    CNN_TRY(cnn_dataset_new(&made, "from_tensors", &rows_class, sizeof(rows), NULL));
    rows *r = made;
    r->head.cardinality = tensors[0]->shape[0];
    for (; r->count < count; r->count++) r->tensors[r->count] = cnn_tensor_retain(tensors[r->count]);
    *out = &r->head;
    return CNN_OK;
}
