/* Memory for batches, used again: a large block that is given back to the system and asked for anew costs more time in
 * page faults than a batch's rows take to be copied. As many tensors are held on to as are in use at the same time. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <string.h>

enum { SMALL = 1 << 16 }; /* bytes that are as quickly found by malloc */

cnn_status cnn_spares_open(cnn_spares *spares, int64_t count) {
    size_t size = (size_t)count * sizeof *spares->tensors;
    spares->tensors = cnn_calloc(size);
    if (!spares->tensors) return cnn_fail_memory(size);
    spares->count = count;
    pthread_mutex_init(&spares->lock, NULL);
    return CNN_OK;
}

void cnn_spares_close(cnn_spares *spares) {
    if (!spares->tensors) return;
    for (int64_t i = 0; i < spares->count; i++) cnn_tensor_release(spares->tensors[i]);
    cnn_free(spares->tensors);
    pthread_mutex_destroy(&spares->lock);
}

/* Nobody but the spares holds it; then nobody can come to. */
static bool is_idle(const cnn_tensor *tensor) {
    return __atomic_load_n(&tensor->refs, __ATOMIC_ACQUIRE) == 1;
}

static bool is_such(const cnn_tensor *tensor, cnn_dtype dtype, int rank, const int64_t *shape) {
    return tensor->dtype == dtype && tensor->rank == rank &&
           memcmp(tensor->shape, shape, (size_t)rank * sizeof *shape) == 0;
}

/* A new tensor takes the place of an idle one of another kind, or one that is empty, if there is any. */
static cnn_status find(cnn_tensor **out, cnn_spares *spares, cnn_dtype dtype, int rank,
                       const int64_t *shape) {
    cnn_tensor **place = NULL, *made;
    for (int64_t i = 0; i < spares->count; i++) {
        cnn_tensor **spare = &spares->tensors[i];
        if (*spare && !is_idle(*spare)) continue;
        if (*spare && is_such(*spare, dtype, rank, shape)) {
            *out = cnn_tensor_retain(*spare);
            return CNN_OK;
        }
        if (!place || *spare) place = spare;
    }
    CNN_TRY(cnn_tensor_alloc_for("batch", &made, dtype, rank, shape));
    if (place && cnn_tensor_bytes(made) >= SMALL) {
        cnn_tensor_release(*place);
        *place = cnn_tensor_retain(made);
    }
    *out = made;
    return CNN_OK;
}

cnn_status cnn_spares_alloc(cnn_tensor **out, cnn_spares *spares, cnn_dtype dtype, int rank,
                            const int64_t *shape) {
    if (!spares) return cnn_tensor_alloc_for("batch", out, dtype, rank, shape);
    pthread_mutex_lock(&spares->lock);
    cnn_status status = find(out, spares, dtype, rank, shape);
    pthread_mutex_unlock(&spares->lock);
    return status;
}
