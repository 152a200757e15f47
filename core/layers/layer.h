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
    bool augments;    /* called by hand it behaves as in training, unless told otherwise */
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
    /* The config in Keras's words, where the params alone cannot tell it; may be NULL. */
    cnn_status (*config)(cJSON **out, const cnn_layer *layer, cnn_keras keras);
    void (*close)(cnn_layer *layer); /* frees what init made; may be NULL */
    /* Passes the flag on to layers within; may be NULL. */
    void (*set_trainable)(cnn_layer *layer, bool trainable);
} cnn_layer_class;

struct cnn_layer {
    const cnn_class *class; /* a cnn_layer_class */
    int refs;
    char *name;
    bool trainable;
    cJSON *dtype;          /* "float32", or a policy object of Keras's */
    cnn_shape input_shape; /* of a sample; rank -1 if not given */
    cnn_shape batch_input_shape;
    bool built;
    bool seeded; /* a random layer that was given a seed: `steps` are those of its calls by hand so far */
    uint64_t steps;
    int variable_count;
    cnn_variable **variables;
};

/* The arguments every layer has; they stand after its own. Of some layers Keras writes other ones: without trainable,
 * with another kind of dtype, or with the shape of inputs. */
#define CNN_LAYER_PARAMS CNN_LAYER_PARAMS_BUT(.derived = false, cnn_policy_spec, .derived = true)
#define CNN_LAYER_PARAMS_BUT(trainable_, dtype_spec_, batch_input_shape_)                                    \
    CNN_PARAM(STRING, cnn_layer, name, "null",                                                               \
              .help = "by default the class's, numbered: 'conv2d', 'conv2d_1', …"),                          \
        CNN_PARAM(BOOL, cnn_layer, trainable, "true", trainable_,                                            \
                  .help = "whether training changes the weights"),                                           \
        CNN_PARAM(JSON, cnn_layer, dtype, "\"float32\"", .spec = &dtype_spec_,                               \
                  .help = "as Keras writes it; all is computed in float32"),                                 \
        CNN_PARAM(SHAPE, cnn_layer, input_shape, "null", .derived = true,                                    \
                  .help = "shape of one sample, for the first layer of a Sequential"),                       \
        CNN_PARAM(SHAPE, cnn_layer, batch_input_shape, "null", batch_input_shape_,                           \
                  .help = "the same with the batch size (or nil) before it")

/* What Keras 3's layers with kernels may have besides. */
#define CNN_LORA_PARAMS                                                                                      \
    CNN_UNSUPPORTED_PARAM("lora_rank", .derived = true),                                                     \
        CNN_UNSUPPORTED_PARAM("lora_alpha", .derived = true),                                                \
        CNN_UNSUPPORTED_PARAM("quantization_config", .derived = true)

/* A layer's dtype: a name or a policy. All computing here is in float32, which serves for every floating-point one. */
extern const cnn_param_spec cnn_policy_spec;
/* The name: "float32", "mixed_float16", …; NULL if there is none to be found. */
const char *cnn_policy_name(const cJSON *dtype);

/* Four counts, of the top, bottom, left and right of pictures: given as one, as {rows, columns}, or as {{top, bottom},
 * {left, right}}, as Keras writes it. */
extern const cnn_param_spec cnn_sides_spec;
bool cnn_sides_read(const cJSON *spec, int sides[4]);

/* The status of reading an argument, its error with the layer's class and the argument's name before it. */
cnn_status cnn_layer_argument(const cnn_layer *layer, const char *argument, cnn_status status);

/* NULL-terminated, of cnn_layer_class. */
extern const cnn_class *const cnn_layer_classes[];

/* config: a JSON object or NULL. */
cnn_status cnn_layer_create(cnn_layer **out, const cnn_class *class, const cJSON *config);
/* The config of the layer, with its name, as it was given (NULL when memory is out) or in Keras's words. */
cJSON *cnn_layer_config_json(const cnn_layer *layer);
cnn_status cnn_layer_keras_config(cJSON **out, const cnn_layer *layer, cnn_keras keras);

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
/* The bytes that the values of variables made from now on, in this thread, may take; more are refused. Returns what was
 * left: at first INT64_MAX. For those who make layers from files. */
int64_t cnn_layer_weight_budget(int64_t bytes);

/* The seed of a random layer: the one given or, of INT_MIN, one drawn from the default generator. Given one, the layer
 * counts its calls by hand, so that the n-th draws the same numbers in every run, as in Keras. */
int cnn_layer_seed(cnn_layer *layer, int given);

/* An error if a convolution's steps do not go together. */
cnn_status cnn_layer_check_steps(const cnn_layer *layer, const int strides[2], const int dilation_rate[2]);

/* An error unless the input has this rank ("expected 4 axes [N,H,W,C], got shape …"). */
cnn_status cnn_layer_expect_rank(const cnn_layer *layer, const cnn_tensor *input, int rank, const char *axes);

/* ---- calls ----------------------------------------------------------------------------------------------- */

/* The call of a layer on symbolic tensors; the nodes of its results hold it. */
typedef struct cnn_call {
    int refs;
    cnn_layer *layer;
    bool inference; /* called to behave as in inference, in training too */
    int n_inputs;
    cnn_tensor **inputs;
    int n_outputs;
    const cnn_tensor **outputs; /* addresses, to be compared only: results do not live as long as the call */
} cnn_call;

/* cnn_layer_call_all as in inference: what is put into a graph behaves so in training too, as by Keras's
 * layer(x, training=False). */
cnn_status cnn_layer_call_inference(cnn_tensor **outs, cnn_layer *layer, cnn_tensor *const *inputs,
                                    int count);

/* The call whose result a symbolic tensor is, or NULL. */
const cnn_call *cnn_call_of(const cnn_tensor *tensor);
/* Which of its call's results the tensor is. */
int cnn_call_output(const cnn_tensor *tensor);
/* Marks the symbolic tensor as the layer's result. */
cnn_status cnn_call_record(cnn_tensor *result, cnn_layer *layer, cnn_tensor *const *inputs, int n_inputs);

/* The symbolic tensor that an InputLayer stands for; each call makes a new one. */
cnn_status cnn_input_from_layer(cnn_tensor **out, cnn_layer *layer);

/* Forgets how many layers of each class were named, as Keras's clear_session. */
void cnn_clear_session(void);

#endif
