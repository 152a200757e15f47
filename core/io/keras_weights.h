/* The weights of models, and the state of their optimizers, in HDF5 trees: in the two forms of Keras, and from either.
 *
 * Keras 2 (and Keras 3's .h5 files): a group a layer, called as the layer, its attribute weight_names in the order of
 * the layer's variables; the root's, or model_weights', attribute layer_names tells the order of layers.
 * Keras 3: layers/CLASS[_N]/vars/0, 1, …, layers numbered by class in their order, models within nested alike; the
 * optimizer's state in optimizer/vars/0, 1, …. */
#ifndef CNN_IO_KERAS_WEIGHTS_H
#define CNN_IO_KERAS_WEIGHTS_H

#include "io/h5.h"
#include "model/model.h"
#include "base/text.h"

/* The version of Keras whose files ours are. */
#define CNN_KERAS_VERSION_2 "2.10.0"
#define CNN_KERAS_VERSION_3 "3.9.2"

typedef enum cnn_weights_form { CNN_WEIGHTS_KERAS_2, CNN_WEIGHTS_KERAS_3 } cnn_weights_form;

/* Adds the model's weights to group (in form 2 model_weights, or the root of a file of weights alone; in form 3 the
 * root). The tree holds the tensors themselves: it is to be used before they change. */
cnn_status cnn_weights_write(cnn_h5_node *group, const cnn_model *model, cnn_weights_form form);

/* Adds the compiled model's optimizer's state to the root: the group optimizer_weights or optimizer/vars. */
cnn_status cnn_optimizer_write(cnn_h5_node *root, cnn_model *model, cnn_weights_form form);

typedef struct cnn_weights_options {
    bool by_name, skip_mismatch;
} cnn_weights_options;

/* Sets the built model's weights from a file of either form, of weights alone or of a whole model. All is checked before
 * any weight changes. What skip_mismatch left out is added to notes, a line each. */
cnn_status cnn_weights_read(cnn_model *model, const cnn_h5_node *root, const cnn_weights_options *options,
                            cnn_text *notes);

/* Sets the state of the compiled model's optimizer from a file of either form; one that does not fit is left alone and
 * told in notes. */
cnn_status cnn_optimizer_read(cnn_model *model, const cnn_h5_node *root, cnn_text *notes);

#endif
