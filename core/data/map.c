/* Datasets whose elements a function of the caller's changes. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

#include <string.h>

typedef struct map {
    cnn_dataset head;
    cnn_mapper mapper;
    void *data;
    uint64_t seed; /* of the elements' generators */
} map;

static cnn_status apply(map *m, cnn_place place, cnn_maker *maker, cnn_element *element) {
    cnn_opened *opened = &maker->opened[m->head.depth];
    if (!opened->done && m->mapper.open) CNN_TRY(m->mapper.open(&opened->state, m->data, maker->cancelled));
    opened->done = true;
    cnn_random random = cnn_random_at(m->seed, place), *before = cnn_use_random(&random);
    cnn_status status = m->mapper.apply(opened->state, m->data, element, &random);
    cnn_use_random(before);
    return status;
}

/* The end of a long name says more than its beginning. */
static const char *short_name(const char *name) {
    enum { MOST = 300 };
    size_t length = strlen(name);
    if (length <= MOST) return name;
    const char *tail = name + length - MOST, *slash = strchr(tail, '/');
    return slash ? slash + 1 : tail;
}

static cnn_status make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out) {
    CNN_TRY(cnn_dataset_make(dataset->input, place, maker, out));
    if (out->count == 0) return CNN_OK;
    cnn_status status = apply((map *)dataset, place, maker, out);
    if (status == CNN_OK || !out->name) return status;
    return cnn_fail_in(status, short_name(out->name));
}

static void leave(cnn_dataset *dataset, void *state) {
    const map *m = (map *)dataset;
    if (m->mapper.close) m->mapper.close(state);
}

static void close_map(cnn_dataset *dataset) {
    const map *m = (map *)dataset;
    if (m->mapper.free) m->mapper.free(m->data);
}

static const cnn_dataset_class map_class = {.make = make, .leave = leave, .close = close_map};

cnn_status cnn_dataset_map(cnn_dataset **out, cnn_dataset *dataset, const cnn_mapper *mapper, void *data) {
    void *made = NULL;
    cnn_status status = mapper->apply ? cnn_dataset_new(&made, "map", &map_class, sizeof(map), dataset)
                                      : cnn_fail(CNN_ERROR_ARGUMENT, "map: expected a function, got none");
    if (status != CNN_OK) {
        if (mapper->free) mapper->free(data);
        return status;
    }
    map *m = made;
    m->mapper = *mapper;
    m->data = data;
    m->seed = cnn_random_split(NULL).key;
    *out = &m->head;
    return CNN_OK;
}
