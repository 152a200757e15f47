/* What all nodes of datasets have in common, and elements. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

/* ---- elements ---------------------------------------------------------------------------------------------- */

void cnn_element_clear(cnn_element *element) {
    for (int i = 0; i < CNN_MAX_PARTS; i++) cnn_tensor_release(element->parts[i]);
    cnn_free(element->name);
    *element = (cnn_element){0};
}

cnn_status cnn_element_copy(cnn_element *out, const cnn_element *element) {
    char *name = NULL;
    if (element->name && !(name = cnn_strdup(element->name))) return cnn_fail_memory(64);
    *out = *element;
    out->name = name;
    for (int i = 0; i < out->count; i++) cnn_tensor_retain(out->parts[i]);
    return CNN_OK;
}

/* ---- nodes ------------------------------------------------------------------------------------------------- */

cnn_status cnn_dataset_new(void **out, const char *who, const cnn_dataset_class *class, size_t size,
                           cnn_dataset *input) {
    if (!input && !class->is_source)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: expected a dataset, got none", who);
    cnn_dataset *dataset = cnn_calloc(size);
    if (!dataset) return cnn_fail_memory(size);
    dataset->class = class;
    dataset->refs = 1;
    if (input) {
        dataset->input = cnn_dataset_retain(input);
        dataset->depth = input->depth + 1;
        dataset->cardinality = input->cardinality;
    }
    *out = dataset;
    return CNN_OK;
}

cnn_dataset *cnn_dataset_retain(cnn_dataset *dataset) {
    if (dataset) __atomic_fetch_add(&dataset->refs, 1, __ATOMIC_RELAXED);
    return dataset;
}

void cnn_dataset_release(cnn_dataset *dataset) {
    while (dataset && __atomic_sub_fetch(&dataset->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        cnn_dataset *input = dataset->input;
        if (dataset->class->close) dataset->class->close(dataset);
        cnn_free(dataset);
        dataset = input;
    }
}

int64_t cnn_dataset_cardinality(const cnn_dataset *dataset) {
    return dataset->cardinality;
}

cnn_status cnn_dataset_make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out) {
    for (; !dataset->class->make; dataset = dataset->input)
        if (dataset->class->locate) CNN_TRY(dataset->class->locate(dataset, &place));
    cnn_status status = dataset->class->make(dataset, place, maker, out);
    if (status != CNN_OK || out->count == 0) cnn_element_clear(out);
    return status;
}

cnn_random cnn_random_at(uint64_t seed, cnn_place place) {
    uint32_t words[4];
    cnn_philox(seed, place.iteration, (uint64_t)place.position, words);
    return (cnn_random){.key = (uint64_t)words[1] << 32 | words[0]};
}

/* ---- makers ------------------------------------------------------------------------------------------------ */

cnn_status cnn_maker_open(cnn_maker *maker, const cnn_dataset *dataset, const bool *cancelled) {
    size_t size = (size_t)(dataset->depth + 1) * sizeof *maker->opened;
    cnn_opened *opened = cnn_calloc(size);
    if (!opened) return cnn_fail_memory(size);
    *maker = (cnn_maker){.cancelled = cancelled, .opened = opened};
    return CNN_OK;
}

void cnn_maker_close(cnn_maker *maker, cnn_dataset *dataset) {
    for (; maker->opened && dataset; dataset = dataset->input) {
        cnn_opened *opened = &maker->opened[dataset->depth];
        if (opened->done && dataset->class->leave) dataset->class->leave(dataset, opened->state);
    }
    cnn_free(maker->opened);
    maker->opened = NULL;
}
