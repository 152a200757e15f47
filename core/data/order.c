/* Datasets with the elements of their input, some of them, in another order or several times. */
#include "data/dataset.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

#include <inttypes.h>
#include <pthread.h>

/* No place is so far out that adding to it could overflow. */
static const int64_t farthest = INT64_C(1) << 48;

/* ---- shuffle ----------------------------------------------------------------------------------------------- */

typedef struct shuffle {
    cnn_dataset head;
    uint64_t seed;
    int64_t buffer_size;
    bool reshuffle;
    pthread_mutex_t lock; /* of what follows */
    struct {
        uint64_t iteration;
        int32_t *order; /* NULL: none yet */
    } recent[2];        /* iterators that work ahead are in two at a time */
    int latest;
} shuffle;

/* Each position is drawn from a buffer that is filled up, in order, after every draw. */
static cnn_status draw_from_buffer(cnn_random *random, int32_t *order, int32_t count, int32_t size) {
    int32_t *buffer = cnn_malloc((size_t)size * sizeof *buffer), next = size;
    if (!buffer) return cnn_fail_memory((size_t)size * sizeof *buffer);
    for (int32_t i = 0; i < size; i++) buffer[i] = i;
    for (int32_t i = 0; i < count; i++) {
        uint64_t draw = cnn_random_bits(random) >> 32;
        int32_t j = (int32_t)(draw * (uint64_t)size >> 32);
        order[i] = buffer[j];
        buffer[j] = next < count ? next++ : buffer[--size];
    }
    cnn_free(buffer);
    return CNN_OK;
}

static cnn_status new_order(int32_t **out, const shuffle *s, uint64_t iteration) {
    int32_t count = (int32_t)s->head.cardinality;
    int32_t *order = cnn_malloc((size_t)count * sizeof *order);
    if (!order) return cnn_fail_memory((size_t)count * sizeof *order);
    cnn_random random = cnn_random_at(s->seed, (cnn_place){.iteration = iteration});
    cnn_status status = CNN_OK;
    if (s->buffer_size < count)
        status = draw_from_buffer(&random, order, count, (int32_t)s->buffer_size);
    else
        cnn_random_permutation(&random, order, count);
    if (status == CNN_OK)
        *out = order;
    else
        cnn_free(order);
    return status;
}

/* Makes the order of an iteration the latest. */
static cnn_status recall(shuffle *s, uint64_t iteration) {
    for (int i = 0; i < 2; i++) {
        if (!s->recent[i].order || s->recent[i].iteration != iteration) continue;
        s->latest = i;
        return CNN_OK;
    }
    int32_t *order = NULL;
    CNN_TRY(new_order(&order, s, iteration));
    s->latest = !s->latest;
    cnn_free(s->recent[s->latest].order);
    s->recent[s->latest].order = order;
    s->recent[s->latest].iteration = iteration;
    return CNN_OK;
}

static cnn_status locate_shuffled(cnn_dataset *dataset, cnn_place *place) {
    shuffle *s = (shuffle *)dataset;
    pthread_mutex_lock(&s->lock);
    cnn_status status = recall(s, s->reshuffle ? place->iteration : 0);
    if (status == CNN_OK) place->position = s->recent[s->latest].order[place->position];
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void close_shuffle(cnn_dataset *dataset) {
    shuffle *s = (shuffle *)dataset;
    for (int i = 0; i < 2; i++) cnn_free(s->recent[i].order);
    pthread_mutex_destroy(&s->lock);
}

static const cnn_dataset_class shuffle_class = {.locate = locate_shuffled, .close = close_shuffle};

cnn_status cnn_dataset_shuffle(cnn_dataset **out, cnn_dataset *dataset, int64_t buffer_size,
                               const uint64_t *seed, bool reshuffle) {
    void *made;
    if (buffer_size < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT, "shuffle: 'buffer_size' must be at least 0, got %" PRId64,
                        buffer_size);
    if (dataset && dataset->cardinality < 0)
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "shuffle: a dataset without end has no order; shuffle, then repeat");
    if (dataset && dataset->cardinality > INT32_MAX)
        return cnn_fail(CNN_ERROR_ARGUMENT, "shuffle: expected at most %d elements, got %" PRId64, INT32_MAX,
                        dataset->cardinality);
    CNN_TRY(cnn_dataset_new(&made, "shuffle", &shuffle_class, sizeof(shuffle), dataset));
    shuffle *s = made;
    s->buffer_size = buffer_size == 0 ? INT64_MAX : buffer_size;
    s->seed = seed ? *seed : cnn_random_split(NULL).key;
    s->reshuffle = reshuffle;
    pthread_mutex_init(&s->lock, NULL);
    *out = &s->head;
    return CNN_OK;
}

/* ---- repeat, take, skip ------------------------------------------------------------------------------------ */

typedef struct counted {
    cnn_dataset head;
    int64_t count;
} counted;

static int64_t size_of(const cnn_dataset *dataset) {
    return dataset ? dataset->cardinality : 0;
}

static cnn_status new_counted(cnn_dataset **out, const char *who, const cnn_dataset_class *class,
                              cnn_dataset *dataset, int64_t cardinality, int64_t count, int64_t least) {
    void *made;
    if (count < least)
        return cnn_fail(CNN_ERROR_ARGUMENT, "%s: 'count' must be at least %" PRId64 ", got %" PRId64, who,
                        least, count);
    CNN_TRY(cnn_dataset_new(&made, who, class, sizeof(counted), dataset));
    counted *c = made;
    c->count = count;
    c->head.cardinality = cardinality;
    *out = &c->head;
    return CNN_OK;
}

/* Each round is an iteration of the input's, and of no other round of any iteration. */
static cnn_status locate_repeated(cnn_dataset *dataset, cnn_place *place) {
    int64_t size = dataset->input->cardinality, count = ((counted *)dataset)->count;
    uint64_t rounds = count < 0 ? UINT64_C(1) << 32 : (uint64_t)count;
    if (size < 0) return CNN_OK;
    place->iteration = place->iteration * rounds + (uint64_t)(place->position / size);
    place->position %= size;
    return CNN_OK;
}

static const cnn_dataset_class repeat_class = {.locate = locate_repeated};

cnn_status cnn_dataset_repeat(cnn_dataset **out, cnn_dataset *dataset, int64_t count) {
    int64_t size = size_of(dataset), all;
    if (count < 0 || size < 0)
        all = size == 0 || count == 0 ? 0 : -1;
    else if (__builtin_mul_overflow(size, count, &all))
        return cnn_fail(CNN_ERROR_ARGUMENT,
                        "repeat: %" PRId64 " times %" PRId64 " elements are too many (-1 is for ever)", count,
                        size);
    return new_counted(out, "repeat", &repeat_class, dataset, all, count, -1);
}

int64_t cnn_dataset_round(const cnn_dataset *dataset) {
    while (dataset->input && dataset->input->cardinality < 0) dataset = dataset->input;
    return dataset->input && dataset->cardinality < 0 ? dataset->input->cardinality : INT64_MAX;
}

static const cnn_dataset_class take_class = {.close = NULL};

cnn_status cnn_dataset_take(cnn_dataset **out, cnn_dataset *dataset, int64_t count) {
    int64_t size = size_of(dataset);
    if (count >= 0 && (size < 0 || size > count)) size = count;
    return new_counted(out, "take", &take_class, dataset, size, count, -1);
}

static cnn_status locate_skipped(cnn_dataset *dataset, cnn_place *place) {
    place->position += ((counted *)dataset)->count;
    return CNN_OK;
}

static const cnn_dataset_class skip_class = {.locate = locate_skipped};

cnn_status cnn_dataset_skip(cnn_dataset **out, cnn_dataset *dataset, int64_t count) {
    int64_t size = size_of(dataset);
    if (count > farthest) count = farthest;
    if (size >= 0) size = size > count ? size - count : 0;
    return new_counted(out, "skip", &skip_class, dataset, size, count, 0);
}

/* ---- prefetch ---------------------------------------------------------------------------------------------- */

static const cnn_dataset_class prefetch_class = {.close = NULL};

cnn_status cnn_dataset_prefetch(cnn_dataset **out, cnn_dataset *dataset, int64_t count) {
    return new_counted(out, "prefetch", &prefetch_class, dataset, size_of(dataset), count, 0);
}

int64_t cnn_dataset_ahead(const cnn_dataset *dataset) {
    while (dataset && dataset->class != &prefetch_class && !cnn_dataset_is_batch(dataset))
        dataset = dataset->input;
    return dataset && dataset->class == &prefetch_class ? ((const counted *)dataset)->count : 0;
}
