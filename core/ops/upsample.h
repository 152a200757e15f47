/* Attributes of upsampling. */
#ifndef CNN_OPS_UPSAMPLE_H
#define CNN_OPS_UPSAMPLE_H

#include "ops/op.h"

typedef struct cnn_upsample2d {
    const cnn_class *class;
    int size[2];
    int interpolation; /* position in "nearest bilinear" */
} cnn_upsample2d;

extern const cnn_op cnn_op_upsample2d;

#endif
