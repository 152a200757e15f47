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
extern const cnn_param_spec cnn_initializer_spec, cnn_regularizer_spec;

/* The arguments of layers with weights. prefix: "kernel", or what the layer calls its kernel in their names, which
 * are those of the members with "kernel" otherwise. The rest goes to activity_regularizer's line. */
#define CNN_INITIALIZER_PARAM(type_, member_, name_, fallback_, help_)                                       \
    CNN_PARAM_NAMED(JSON, type_, member_, name_, fallback_, .spec = &cnn_initializer_spec, .help = help_)
#define CNN_REGULARIZER_PARAM(type_, member_, name_, help_)                                                  \
    CNN_PARAM_NAMED(JSON, type_, member_, name_, "null", .spec = &cnn_regularizer_spec, .help = help_)
#define CNN_KERNEL_INITIALIZER_PARAM(type_, member_, prefix_)                                                \
    CNN_INITIALIZER_PARAM(type_, member_, prefix_ "_initializer", "\"glorot_uniform\"",                      \
                          "how the weights are drawn: 'he_normal', … or one of cnn.initializers")
#define CNN_BIAS_INITIALIZER_PARAM(type_)                                                                    \
    CNN_INITIALIZER_PARAM(type_, bias_initializer, "bias_initializer", "\"zeros\"", "how the bias starts")
#define CNN_KERNEL_REGULARIZER_PARAM(type_, member_, prefix_)                                                \
    CNN_REGULARIZER_PARAM(type_, member_, prefix_ "_regularizer",                                            \
                          "what keeps weights small: 'l2', … or cnn.regularizers.L2{0.01}")
#define CNN_BIAS_REGULARIZER_PARAM(type_)                                                                    \
    CNN_REGULARIZER_PARAM(type_, bias_regularizer, "bias_regularizer", "the same for the bias")
#define CNN_WEIGHT_PARAMS(type_, prefix_, ...)                                                               \
    CNN_KERNEL_INITIALIZER_PARAM(type_, kernel_initializer, prefix_), CNN_BIAS_INITIALIZER_PARAM(type_),     \
        CNN_KERNEL_REGULARIZER_PARAM(type_, kernel_regularizer, prefix_), CNN_BIAS_REGULARIZER_PARAM(type_), \
        CNN_UNSUPPORTED_PARAM("activity_regularizer", __VA_ARGS__),                                          \
        CNN_UNSUPPORTED_PARAM(prefix_ "_constraint"), CNN_UNSUPPORTED_PARAM("bias_constraint")

/* Fills out, a tensor of this shape, by the spec. Draws from `random` (NULL: the default generator) unless the spec
 * has a seed. */
cnn_status cnn_initializer_fill(const cJSON *spec, cnn_random *random, float *out, int rank,
                                const int64_t *shape);

extern const cnn_class *const cnn_regularizers[]; /* L1, L2, L1L2 */
/* null, "l1", "l2", "l1_l2" or {"class_name": "L2", "config": {"l2": 0.01}} → the two factors. */
cnn_status cnn_regularizer_read(const cJSON *spec, float *l1, float *l2);

#endif
