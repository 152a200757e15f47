/* Layers: named objects with variables and a config. A layer says, when called, which ops it applies to its inputs;
 * called on tensors it computes, called on symbolic tensors it extends their graph. One file a layer: a struct that
 * begins with cnn_layer, a table of arguments, build, call. */
#ifndef CNN_LAYERS_LAYER_H
#define CNN_LAYERS_LAYER_H

#include "base/config.h"
#include "ops/op.h"

typedef struct cnn_layer_class {
    cnn_class class;
    int min_inputs, max_inputs;
    const cnn_op *op; /* where classes differ only in the op that their shared `call` applies; else NULL */
    /* Makes what the params only describe, and checks what one param alone can't tell. May be NULL. */
    cnn_status (*init)(cnn_layer *layer);
    /* Adds the variables (cnn_layer_add_variable), knowing the inputs' shapes. May be NULL. */
    cnn_status (*build)(cnn_layer *layer, const cnn_tensor *const *inputs, int n_inputs);
    /* The ops. *out is a new reference; it may be one to the input. Where output_count says so, out is a list. */
    cnn_status (*call)(cnn_layer *layer, cnn_tensor **out, cnn_tensor *const *inputs, int n_inputs,
                       bool training);
    /* How many results a call has; NULL: one. */
    int (*output_count)(const cnn_layer *layer);
    void (*close)(cnn_layer *layer); /* frees what init made; may be NULL */
    /* Passes the flag on to layers within; may be NULL. */
    void (*set_trainable)(cnn_layer *layer, bool trainable);
} cnn_layer_class;

struct cnn_layer {
    const cnn_class *class; /* a cnn_layer_class */
    int refs;
    char *name;
    bool trainable;
    cJSON *dtype;          /* "float32", or Keras 3's policy object */
    cnn_shape input_shape; /* of a sample; rank -1 if not given */
    cnn_shape batch_input_shape;
    bool built;
    int variable_count;
    cnn_variable **variables;
};

/* The arguments every layer has; stands last in their tables. */
#define CNN_LAYER_PARAMS                                                                                     \
    CNN_PARAM(STRING, cnn_layer, name, "null",                                                               \
              .help = "the layer's name; by default its class's, numbered"),                                 \
        CNN_PARAM(BOOL, cnn_layer, trainable, "true", .help = "whether training changes the weights"),       \
        CNN_PARAM(JSON, cnn_layer, dtype, "\"float32\"", .help = "'float32'"),                               \
        CNN_PARAM(SHAPE, cnn_layer, input_shape, "null", .derived = true,                                    \
                  .help = "shape of one sample, for the first layer of a Sequential"),                       \
        CNN_PARAM(SHAPE, cnn_layer, batch_input_shape, "null", .derived = true,                              \
                  .help = "the same with the batch size (or nil) before it")

/* An argument that Keras writes into configs and that only its neutral value, null, is taken of. */
#define CNN_UNSUPPORTED_PARAM(argument, type_name)                                                           \
    CNN_PARAM(JSON, type_name, argument, "null", .help = "only nil")
/* The status of reading an argument, its error with the layer's class and the argument's name before it. */
cnn_status cnn_layer_argument(const cnn_layer *layer, const char *argument, cnn_status status);
/* The error for such an argument that is not null. */
cnn_status cnn_layer_refuse(const cnn_layer *layer, const char *argument, const cJSON *value);

/* NULL-terminated, of cnn_layer_class. */
extern const cnn_class *const cnn_layer_classes[];

/* config: a JSON object or NULL. */
cnn_status cnn_layer_create(cnn_layer **out, const cnn_class *class, const cJSON *config);
/* Keras's config of the layer, with its name. */
cJSON *cnn_layer_config_json(const cnn_layer *layer);

/* The op of the layer's class. */
static inline const cnn_op *cnn_layer_op(const cnn_layer *layer) {
    return ((const cnn_layer_class *)layer->class)->op;
}

/* ---- for build ------------------------------------------------------------------------------------------- */

/* A float32 variable filled by the initializer spec ("glorot_uniform", {"class_name": …}); regularizer: a spec or
 * NULL. Returned borrowed. */
cnn_status cnn_layer_add_variable(cnn_variable **out, cnn_layer *layer, const char *name, int rank,
                                  const int64_t *shape, const cJSON *initializer, const cJSON *regularizer,
                                  bool trainable);
void cnn_variable_release(cnn_variable *variable);

/* An error unless the input has this rank ("expected 4 axes [N,H,W,C], got shape …"). */
cnn_status cnn_layer_expect_rank(const cnn_layer *layer, const cnn_tensor *input, int rank, const char *axes);

/* ---- calls ----------------------------------------------------------------------------------------------- */

/* The call of a layer on symbolic tensors; the nodes of its results hold it. */
typedef struct cnn_call {
    int refs;
    cnn_layer *layer;
    int n_inputs;
    cnn_tensor **inputs;
    int n_outputs;
    const cnn_tensor **outputs; /* addresses, to be compared only: results do not live as long as the call */
} cnn_call;

/* The call whose result a symbolic tensor is, or NULL. */
const cnn_call *cnn_call_of(const cnn_tensor *tensor);
/* Which of its call's results the tensor is. */
int cnn_call_output(const cnn_tensor *tensor);
/* Marks the symbolic tensor as the layer's result. */
cnn_status cnn_call_record(cnn_tensor *result, cnn_layer *layer, cnn_tensor *const *inputs, int n_inputs);

/* The symbolic tensor that an InputLayer stands for; each call makes a new one. */
cnn_status cnn_input_from_layer(cnn_tensor **out, cnn_layer *layer);

/* Forgets how many layers of each class were named, as Keras's clear_session. */
CNN_API void cnn_clear_session(void);

#endif
