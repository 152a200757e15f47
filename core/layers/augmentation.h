/* What the layers that change pictures have in common. */
#ifndef CNN_LAYERS_AUGMENTATION_H
#define CNN_LAYERS_AUGMENTATION_H

#include "layers/layer.h"

/* Applies the op to pictures [N,H,W,C] or, where it is not symbolic, one [H,W,C]; of any dtype, giving float32. */
cnn_status cnn_augmentation_apply(cnn_layer *layer, const cnn_op *op, const void *attributes,
                                  cnn_tensor **out, cnn_tensor *input, bool training);

/* Only channels last. Not all versions of Keras know the argument, and it is the default of all, so it is not written;
 * nor is the other one, of which only the default is supported. */
#define CNN_AUGMENTATION_PARAMS(struct_)                                                                     \
    CNN_PARAM(CHOICE, struct_, data_format, "\"channels_last\"", .choices = "channels_last",                 \
              .nullable = true, .derived = true, .help = "channels come last, nothing else"),                \
        CNN_UNSUPPORTED_PARAM("bounding_box_format", .derived = true), CNN_LAYER_PARAMS

#define CNN_AUGMENTATION_SEED_PARAM(struct_)                                                                 \
    CNN_PARAM(INT, struct_, seed, "null", .nullable = true,                                                  \
              .help = "of the random choice: calls by hand then repeat in every run; nil: by chance")

#endif
