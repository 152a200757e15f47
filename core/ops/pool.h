/* Attributes of the pooling ops. */
#ifndef CNN_OPS_POOL_H
#define CNN_OPS_POOL_H

#include "ops/conv.h" /* CNN_PADDING_VALID, CNN_PADDING_SAME */

typedef struct cnn_pool2d {
    const cnn_class *class;
    int pool_size[2];
    int strides[2]; /* INT_MIN: as pool_size */
    int padding;
} cnn_pool2d;

typedef struct cnn_global_pool2d {
    const cnn_class *class;
    bool keepdims;
} cnn_global_pool2d;

/* The strides, pool_size where not given. */
void cnn_pool2d_strides(const cnn_pool2d *a, int strides[2]);

extern const cnn_op cnn_op_max_pool2d, cnn_op_avg_pool2d, cnn_op_global_max_pool2d, cnn_op_global_avg_pool2d;

#endif
