/* All layer classes. A new one adds its file and a line here. */
#include "layers/layer.h"

extern const cnn_layer_class cnn_layer_input, cnn_layer_conv2d, cnn_layer_dense, cnn_layer_activation,
    cnn_layer_max_pooling2d, cnn_layer_average_pooling2d, cnn_layer_global_max_pooling2d,
    cnn_layer_global_average_pooling2d, cnn_layer_dropout, cnn_layer_flatten, cnn_layer_reshape,
    cnn_layer_zero_padding2d, cnn_layer_rescaling;

const cnn_class *const cnn_layer_classes[] = {&cnn_layer_input.class,
                                              &cnn_layer_conv2d.class,
                                              &cnn_layer_dense.class,
                                              &cnn_layer_activation.class,
                                              &cnn_layer_max_pooling2d.class,
                                              &cnn_layer_average_pooling2d.class,
                                              &cnn_layer_global_max_pooling2d.class,
                                              &cnn_layer_global_average_pooling2d.class,
                                              &cnn_layer_dropout.class,
                                              &cnn_layer_flatten.class,
                                              &cnn_layer_reshape.class,
                                              &cnn_layer_zero_padding2d.class,
                                              &cnn_layer_rescaling.class,
                                              NULL};
