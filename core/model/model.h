/* Models: layers wired together. A model is a layer whose call calls its layers; its wiring is kept as symbolic
 * tensors from its inputs to its outputs, which plans compile. */
#ifndef CNN_MODEL_MODEL_H
#define CNN_MODEL_MODEL_H

#include "layers/layer.h"

struct cnn_model {
    cnn_layer layer; /* class Sequential or Functional; its variables are those of all the layers */
    bool sequential;
    int layer_count;
    cnn_layer **layers; /* retained, in the order they run; a shared layer once */
    int n_inputs, n_outputs;
    cnn_tensor **inputs, **outputs; /* retained; none before a Sequential is built */
    uint64_t version;               /* counts changes of the wiring */
    struct cnn_run_control *run;    /* while fit, evaluate or predict runs */
    struct cnn_trainer *trainer;    /* what compile made; belongs to the training floor */
    void (*free_trainer)(struct cnn_trainer *trainer);
};

extern const cnn_layer_class cnn_sequential_class, cnn_functional_class;

static inline bool cnn_layer_is_model(const cnn_layer *layer) {
    return layer->class == &cnn_sequential_class.class || layer->class == &cnn_functional_class.class;
}

/* The names by which an input's or an output's data is given: that of its layer, numbered where one has several; of a
 * Sequential, "LAYER_input" and its last layer's. */
char *cnn_model_input_name(char *buffer, size_t capacity, const cnn_model *model, int input);
char *cnn_model_output_name(char *buffer, size_t capacity, const cnn_model *model, int output);
enum { CNN_NAME_TEXT = 128 };

/* An error while the model is running: a callback must not change what is being run. */
cnn_status cnn_model_expect_idle(const cnn_model *model, const char *who);

/* An error that says what to do, unless the model's shapes are known. */
cnn_status cnn_model_expect_built(const cnn_model *model, const char *who);

#endif
