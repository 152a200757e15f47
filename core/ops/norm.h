/* Attributes of the normalizations. */
#ifndef CNN_OPS_NORM_H
#define CNN_OPS_NORM_H

#include "ops/op.h"

typedef struct cnn_batch_norm {
    const cnn_class *class;
    double momentum, epsilon;
} cnn_batch_norm;

typedef struct cnn_layer_norm {
    const cnn_class *class;
    double epsilon;
    int axes; /* how many of the last axes are normalized together */
} cnn_layer_norm;

/* batch_normalization: inputs x [N,…,C]; gamma, beta, moving_mean, moving_variance [C]; frozen, int32 [1].
 * layer_normalization: inputs x [N,…]; gamma and beta of as many elements as the last axes have. */
extern const cnn_op cnn_op_batch_normalization, cnn_op_layer_normalization;

#endif
