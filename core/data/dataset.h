/* Datasets from within: chains of nodes, each over its input, down to a source.
 *
 * Nodes are random access. Asked for the element at a place, one says where in its input that lies (shuffle, repeat,
 * skip), makes it of the input's elements (map, batch, cache), or of data (the sources). What comes out is a pure
 * function of the place, the seeds and the data, so it does not matter which thread asks, nor in which order. Nodes
 * may be asked by several threads at once; what a thread keeps for itself lies in its maker. */
#ifndef CNN_DATA_DATASET_H
#define CNN_DATA_DATASET_H

#include "cnn.h"

#include <pthread.h>

typedef struct cnn_place {
    uint64_t iteration;
    int64_t position; /* from 0, below the cardinality */
} cnn_place;

/* What a map's open made in a thread. */
typedef struct cnn_opened {
    bool done;
    void *state;
} cnn_opened;

/* A thread that makes elements. */
typedef struct cnn_maker {
    const bool *cancelled;
    cnn_opened *opened;      /* one a node, by its depth */
    struct cnn_batch *ready; /* rows that are made already, for the node that is to make a batch of them */
} cnn_maker;

/* Functions may be NULL. */
typedef struct cnn_dataset_class {
    bool is_source; /* has no input */
    /* Turns a place of the node into that of its input; NULL: it is the same. */
    cnn_status (*locate)(cnn_dataset *dataset, cnn_place *place);
    /* Makes an element into one that is empty; left empty, the element is left out. NULL: it is the input's. What an
     * error leaves in out is cleared by cnn_dataset_make. */
    cnn_status (*make)(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out);
    /* Ends what a maker holds open. */
    void (*leave)(cnn_dataset *dataset, void *state);
    void (*close)(cnn_dataset *dataset);
} cnn_dataset_class;

/* Every node begins so. */
struct cnn_dataset {
    const cnn_dataset_class *class;
    cnn_dataset *input; /* retained; NULL in sources */
    int refs;
    int depth; /* nodes below */
    int64_t cardinality;
    uint64_t iterations; /* that iterators have begun */
};

/* A zeroed node of a size, with input's cardinality. An error in the name of `who` if there is no input, but of a
 * source. */
cnn_status cnn_dataset_new(void **out, const char *who, const cnn_dataset_class *class, size_t size,
                           cnn_dataset *input);

/* The element at a place; empty (count 0) if it is left out, as it is after an error. out comes empty. */
cnn_status cnn_dataset_make(cnn_dataset *dataset, cnn_place place, cnn_maker *maker, cnn_element *out);

cnn_status cnn_maker_open(cnn_maker *maker, const cnn_dataset *dataset, const bool *cancelled);
void cnn_maker_close(cnn_maker *maker, cnn_dataset *dataset);

/* The generator that belongs to a place. */
cnn_random cnn_random_at(uint64_t seed, cnn_place place);

/* Another reference to all that an element holds. */
cnn_status cnn_element_copy(cnn_element *out, const cnn_element *element);

/* Tensors of earlier batches, to make others in. */
typedef struct cnn_spares {
    pthread_mutex_t lock;
    cnn_tensor **tensors; /* may be NULL each */
    int64_t count;
} cnn_spares;
cnn_status cnn_spares_open(cnn_spares *spares, int64_t count);
void cnn_spares_close(cnn_spares *spares); /* a zeroed one is fine */
/* One that was made here before and nobody else holds any more, or a new one; with any values. spares may be NULL. */
cnn_status cnn_spares_alloc(cnn_tensor **out, cnn_spares *spares, cnn_dtype dtype, int rank,
                            const int64_t *shape);

/* A batch in the making, whose rows several threads may make at once, each once. NULL if no batch is to be made for
 * the element at a place, or if there is no memory for more than the plain way. */
typedef struct cnn_batch cnn_batch;
cnn_batch *cnn_batch_begin(cnn_dataset *dataset, cnn_place place, cnn_spares *spares);
int64_t cnn_batch_rows(const cnn_batch *batch);
/* Keeps the row's error, if there is one, for the batch. */
void cnn_batch_make_row(cnn_batch *batch, int64_t row, cnn_maker *maker);
void cnn_batch_free(cnn_batch *batch); /* NULL is fine */

bool cnn_dataset_is_batch(const cnn_dataset *dataset);

/* Whether a node is a cache, and one that holds the element at a position. */
bool cnn_cache_holds(cnn_dataset *dataset, int64_t position);

/* For iterators: how many elements the prefetch on top, but not under a batch, asks for, or 0; and, of a dataset
 * without end, how many it repeats. */
int64_t cnn_dataset_ahead(const cnn_dataset *dataset);
int64_t cnn_dataset_round(const cnn_dataset *dataset);

#endif
