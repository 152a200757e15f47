/* Datasets that keep their input's elements.
 *
 * What is kept are the elements of iteration 0, whichever iteration asks for them first: an element is the same
 * however the cache came to be filled. One that is being made in one thread is waited for in others, not made twice. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/status.h"

#include <pthread.h>

typedef struct cache {
    cnn_dataset head;
    pthread_mutex_t lock; /* of the array; elements do not change once they lie in it */
    pthread_cond_t made;
    cnn_element **kept; /* by position: NULL, &being_made, &left_out, or an element */
} cache;

static cnn_element being_made, left_out;

static cnn_status locate(cnn_dataset *dataset, cnn_place *place) {
    (void)dataset;
    place->iteration = 0;
    return CNN_OK;
}

static cnn_status make_kept(cnn_element **out, cnn_dataset *input, int64_t position, cnn_maker *maker) {
    cnn_element *element = cnn_calloc(sizeof *element);
    if (!element) return cnn_fail_memory(sizeof *element);
    cnn_status status = cnn_dataset_make(input, (cnn_place){.position = position}, maker, element);
    if (status == CNN_OK && element->count > 0) {
        *out = element;
        return CNN_OK;
    }
    cnn_free(element);
    *out = status == CNN_OK ? &left_out : NULL;
    return status;
}

static cnn_status make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out) {
    cache *c = (cache *)dataset;
    cnn_element **slot = &c->kept[place.position];
    pthread_mutex_lock(&c->lock);
    while (*slot == &being_made) pthread_cond_wait(&c->made, &c->lock);
    cnn_element *kept = *slot;
    if (!kept) *slot = &being_made;
    pthread_mutex_unlock(&c->lock);
    if (!kept) {
        cnn_status status = make_kept(&kept, dataset->input, place.position, maker);
        pthread_mutex_lock(&c->lock);
        *slot = kept;
        pthread_cond_broadcast(&c->made);
        pthread_mutex_unlock(&c->lock);
        CNN_TRY(status);
    }
    return cnn_element_copy(out, kept);
}

static void close_cache(cnn_dataset *dataset) {
    cache *c = (cache *)dataset;
    for (int64_t i = 0; i < dataset->cardinality && c->kept; i++) {
        if (!c->kept[i] || c->kept[i] == &left_out) continue;
        cnn_element_clear(c->kept[i]);
        cnn_free(c->kept[i]);
    }
    cnn_free(c->kept);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->made);
}

static const cnn_dataset_class cache_class = {.locate = locate, .make = make, .close = close_cache};

bool cnn_cache_holds(cnn_dataset *dataset, int64_t position) {
    if (dataset->class != &cache_class) return false;
    cache *c = (cache *)dataset;
    pthread_mutex_lock(&c->lock);
    bool holds = c->kept[position] && c->kept[position] != &being_made;
    pthread_mutex_unlock(&c->lock);
    return holds;
}

cnn_status cnn_dataset_cache(cnn_dataset **out, cnn_dataset *dataset) {
    void *made;
    if (dataset && dataset->cardinality < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "cache: a dataset without end cannot be kept; cache, then repeat");
    CNN_TRY(cnn_dataset_new(&made, "cache", &cache_class, sizeof(cache), dataset));
    cache *c = made;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->made, NULL);
    size_t size = (size_t)dataset->cardinality * sizeof *c->kept;
    bool fits = dataset->cardinality <= INT64_C(1) << 40;
    if (!fits || !(c->kept = cnn_calloc(size))) {
        cnn_dataset_release(&c->head);
        return cnn_fail_memory(size);
    }
    *out = &c->head;
    return CNN_OK;
}
