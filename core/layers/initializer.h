/* Initializers: how fresh weights are drawn. */
#ifndef CNN_LAYERS_INITIALIZER_H
#define CNN_LAYERS_INITIALIZER_H

#include "base/config.h"

typedef struct cnn_initializer {
    const cnn_class *class; /* a cnn_initializer_class */
    double value;           /* constant */
    double mean, stddev;    /* the normals */
    double minval, maxval;  /* uniform */
    double scale;           /* variance scaling */
    int mode, distribution;
    int seed; /* INT_MIN: drawn from the default generator */
} cnn_initializer;

typedef struct cnn_initializer_class {
    cnn_class class;
    void (*fill)(const cnn_initializer *initializer, cnn_random *random, float *out, int rank,
                 const int64_t *shape);
} cnn_initializer_class;

extern const cnn_class *const cnn_initializers[];

/* Checks a spec without using it. */
cnn_status cnn_initializer_check(const cJSON *spec);
/* Fills out, a tensor of this shape, by the spec. Draws from `random` (NULL: the default generator) unless the spec
 * has a seed. */
cnn_status cnn_initializer_fill(const cJSON *spec, cnn_random *random, float *out, int rank,
                                const int64_t *shape);

extern const cnn_class *const cnn_regularizers[]; /* L1, L2, L1L2 */
cnn_status cnn_regularizer_check(const cJSON *spec);
/* null, "l1", "l2", "l1_l2" or {"class_name": "L2", "config": {"l2": 0.01}} → the two factors. */
cnn_status cnn_regularizer_read(const cJSON *spec, float *l1, float *l2);

#endif
