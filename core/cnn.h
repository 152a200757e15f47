/* libcnn: tensors, layers, training of convolutional neural networks on CPUs.
 *
 * Conventions
 *   Fallible functions return a cnn_status; on anything but CNN_OK their outputs are untouched and
 *   cnn_error_message() says, in this thread, who failed, what was expected and what came.
 *   `T **out` gives the caller a reference to release; `const T *` and `T *` arguments are borrowed.
 *   Activations are [N,H,W,C], convolution kernels [kh,kw,C_in/groups,C_out], dense kernels [in,out].
 *   Axes count from 0 here (from 1 in Lua); negative axes count from the end.
 *   Objects (layers, optimizers, losses, metrics, callbacks) are made from a class name and a JSON object of
 *   Keras's argument names: cnn_layer_new(&layer, "Conv2D", "{\"filters\": 32, \"kernel_size\": 3}").
 *   Nothing here is safe to call from two threads on the same object at once. */
#ifndef CNN_H
#define CNN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#if defined(__GNUC__)
#define CNN_API __attribute__((visibility("default")))
#else
#define CNN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define CNN_VERSION "0.1.0"

/* ---- status ------------------------------------------------------------------------------------------ */

typedef enum cnn_status {
    CNN_OK = 0,
    CNN_ERROR_MEMORY,      /* an allocation failed */
    CNN_ERROR_ARGUMENT,    /* a value or name that cannot be */
    CNN_ERROR_SHAPE,       /* shapes that do not fit */
    CNN_ERROR_DTYPE,       /* an element type that does not fit */
    CNN_ERROR_STATE,       /* called in the wrong order: fit before compile */
    CNN_ERROR_IO,          /* the system refused a file */
    CNN_ERROR_FORMAT,      /* a file that is not what it should be */
    CNN_ERROR_INTERRUPTED, /* cnn_interrupt() was called; everything is consistent */
    CNN_ERROR_CALLBACK     /* code of the caller's failed; the message is the caller's */
} cnn_status;

/* The message of the last failure in this thread; "" before the first. */
CNN_API const char *cnn_error_message(void);

/* What goes on in spite of something (a picture that does not decode is left out) is told to one handler, by any thread,
 * one call at a time; at first it writes a line to stderr. NULL: silence. */
typedef void cnn_warning(void *data, const char *message);
CNN_API void cnn_on_warning(cnn_warning *handler, void *data);

/* ---- memory, threads, processor ---------------------------------------------------------------------- */

/* Called before every allocation of libcnn; returning true makes it fail. NULL removes the hook. For tests. */
typedef bool cnn_alloc_hook(size_t size, void *data);
CNN_API void cnn_set_alloc_hook(cnn_alloc_hook *hook, void *data);

CNN_API size_t cnn_memory_used(void); /* bytes libcnn holds now */
CNN_API size_t cnn_memory_peak(void); /* the most it ever held */

/* Compute threads; at first the number of processors this process may run on. Results never depend on it. */
CNN_API cnn_status cnn_set_threads(int count);
CNN_API int cnn_threads(void);

/* The instruction set whose kernels run: "avx512", "avx2", "sse2" or "generic". Chosen at first use as the
 * best of this processor; the environment variable CNNLUA_CPU forces one. */
CNN_API const char *cnn_cpu(void);
CNN_API cnn_status cnn_set_cpu(const char *name);

/* Asks the running long operation to stop with CNN_ERROR_INTERRUPTED at its next safe point. Safe in a
 * signal handler. Whoever reports the interruption clears the request. */
CNN_API void cnn_interrupt(void);
CNN_API void cnn_interrupt_clear(void);
CNN_API bool cnn_interrupted(void);

/* Seeds the process's default generator, from which initializers, shuffling and dropout draw. Without a call
 * it starts from the system's entropy. */
CNN_API void cnn_set_seed(uint64_t seed);

/* ---- tensors ----------------------------------------------------------------------------------------- */

#define CNN_MAX_RANK 8

typedef enum cnn_dtype { CNN_FLOAT32, CNN_UINT8, CNN_INT32, CNN_BFLOAT16 } cnn_dtype;

/* An n-d array: contiguous, row major, 64-byte aligned unless a view, reference counted. A view is a range of
 * the first axis of its base. A symbolic tensor (cnn_input) has a shape whose first size may be -1, and no data.
 * Fields are to be read, not written. */
typedef struct cnn_tensor {
    int refs;
    cnn_dtype dtype;
    int rank;
    int64_t shape[CNN_MAX_RANK];
    int64_t size; /* number of elements; -1 if not known */
    void *data;   /* NULL in a symbolic tensor */
    struct cnn_tensor *base;
    struct cnn_node *node; /* symbolic: the op application that makes it */
    bool trainable;        /* the value of a trainable variable: gradient tapes watch it */
    uint32_t version; /* counts writes in place, by which a tape knows that what it recorded has changed */
} cnn_tensor;

CNN_API const char *cnn_dtype_name(cnn_dtype dtype); /* "float32", … */
CNN_API cnn_status cnn_dtype_from_name(cnn_dtype *out, const char *name);
CNN_API size_t cnn_dtype_size(cnn_dtype dtype);

/* Zeroed; sizes of 0 are allowed, negative ones and more than 2^40 bytes are not. rank 0 is a scalar. */
CNN_API cnn_status cnn_tensor_new(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape);
CNN_API cnn_status cnn_tensor_full(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape,
                                   double value);
CNN_API cnn_status cnn_tensor_from(cnn_tensor **out, cnn_dtype dtype, int rank, const int64_t *shape,
                                   const void *values);
/* start, start+step, … below stop; at least an empty tensor. */
CNN_API cnn_status cnn_arange(cnn_tensor **out, cnn_dtype dtype, double start, double stop, double step);
CNN_API cnn_status cnn_eye(cnn_tensor **out, cnn_dtype dtype, int64_t rows, int64_t columns);
CNN_API cnn_tensor *cnn_tensor_retain(cnn_tensor *tensor);
CNN_API void cnn_tensor_release(cnn_tensor *tensor); /* NULL is fine */
CNN_API size_t cnn_tensor_bytes(const cnn_tensor *tensor);
CNN_API bool cnn_same_shape(const cnn_tensor *a, const cnn_tensor *b);
CNN_API float *cnn_f32(const cnn_tensor *tensor); /* the data; the dtype is the caller's promise */
CNN_API uint8_t *cnn_u8(const cnn_tensor *tensor);
CNN_API int32_t *cnn_i32(const cnn_tensor *tensor);
/* The element at a flat position, as a double, and setting it (rounded and saturated to the dtype). */
CNN_API double cnn_tensor_get(const cnn_tensor *tensor, int64_t position);
CNN_API void cnn_tensor_set(cnn_tensor *tensor, int64_t position, double value);

/* A copy; in another dtype (float to integer truncates towards zero and saturates, NaN gives 0). */
CNN_API cnn_status cnn_copy(cnn_tensor **out, const cnn_tensor *a);
CNN_API cnn_status cnn_cast(cnn_tensor **out, const cnn_tensor *a, cnn_dtype dtype);
/* The same elements under another shape, sharing memory; one size may be -1. */
CNN_API cnn_status cnn_reshape(cnn_tensor **out, cnn_tensor *a, int rank, const int64_t *shape);
/* Rows [from, to) of the first axis, sharing memory. */
CNN_API cnn_status cnn_view(cnn_tensor **out, cnn_tensor *a, int64_t from, int64_t to);
/* A copied block: on axis i from[i], from[i]+step[i], … before to[i]. from/to within [0, size], step ≥ 1. */
CNN_API cnn_status cnn_slice(cnn_tensor **out, const cnn_tensor *a, const int64_t *from, const int64_t *to,
                             const int64_t *step);
/* Writes source, broadcast to the block's shape, into such a block of a; dtypes must be equal. */
CNN_API cnn_status cnn_slice_assign(cnn_tensor *a, const int64_t *from, const int64_t *to,
                                    const int64_t *step, const cnn_tensor *source);
/* Axes in a new order; axes == NULL reverses them. */
CNN_API cnn_status cnn_transpose(cnn_tensor **out, const cnn_tensor *a, const int *axes);
/* out[i…] = a at index[i] along axis; index int32 of any rank, each in [0, size). */
CNN_API cnn_status cnn_gather(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *index, int axis);
CNN_API cnn_status cnn_concat(cnn_tensor **out, const cnn_tensor *const *parts, int count, int axis);
CNN_API cnn_status cnn_stack(cnn_tensor **out, const cnn_tensor *const *parts, int count, int axis);
CNN_API cnn_status cnn_expand_dims(cnn_tensor **out, cnn_tensor *a, int axis);
CNN_API cnn_status cnn_squeeze(cnn_tensor **out, cnn_tensor *a, int axis);
CNN_API cnn_status cnn_flip(cnn_tensor **out, const cnn_tensor *a, int axis);
/* Constant padding: before[i] and after[i] elements on axis i. */
CNN_API cnn_status cnn_pad(cnn_tensor **out, const cnn_tensor *a, const int64_t *before, const int64_t *after,
                           double value);
CNN_API cnn_status cnn_tile(cnn_tensor **out, const cnn_tensor *a, const int64_t *times);
CNN_API cnn_status cnn_broadcast_to(cnn_tensor **out, const cnn_tensor *a, int rank, const int64_t *shape);
/* labels: integers (int32, uint8 or whole float32) of any shape, each in [0, depth). Adds a last axis. */
CNN_API cnn_status cnn_one_hot(cnn_tensor **out, const cnn_tensor *labels, int64_t depth);

/* Arithmetic with NumPy's broadcasting. float32 with anything gives float32; int32 with uint8 gives int32;
 * equal dtypes stay, integers wrap around, but CNN_DIV and CNN_POW always give float32. Comparisons give
 * uint8 0 or 1. */
typedef enum cnn_binary_op {
    CNN_ADD,
    CNN_SUB,
    CNN_MUL,
    CNN_DIV,
    CNN_POW,
    CNN_MOD,
    CNN_FLOORDIV,
    CNN_MAXIMUM,
    CNN_MINIMUM,
    CNN_EQUAL,
    CNN_NOT_EQUAL,
    CNN_LESS,
    CNN_LESS_EQUAL,
    CNN_GREATER,
    CNN_GREATER_EQUAL
} cnn_binary_op;
CNN_API cnn_status cnn_binary(cnn_tensor **out, cnn_binary_op op, const cnn_tensor *a, const cnn_tensor *b);
/* The same with a number on the right (or left if `number_first`); the number takes the tensor's dtype when
 * it fits there exactly, float32 otherwise. */
CNN_API cnn_status cnn_binary_number(cnn_tensor **out, cnn_binary_op op, const cnn_tensor *a, double number,
                                     bool number_first);
/* out = condition ? a : b, all three broadcast together. */
CNN_API cnn_status cnn_where(cnn_tensor **out, const cnn_tensor *condition, const cnn_tensor *a,
                             const cnn_tensor *b);

/* CNN_NEG, CNN_ABS and CNN_SIGN keep the dtype, the others give float32. */
typedef enum cnn_unary_op {
    CNN_NEG,
    CNN_ABS,
    CNN_SIGN,
    CNN_SQUARE,
    CNN_SQRT,
    CNN_EXP,
    CNN_LOG,
    CNN_LOG1P,
    CNN_SIN,
    CNN_COS,
    CNN_TANH,
    CNN_SIGMOID,
    CNN_RELU,
    CNN_FLOOR,
    CNN_CEIL,
    CNN_ROUND,
    CNN_RECIPROCAL,
    CNN_ISNAN
} cnn_unary_op;
CNN_API cnn_status cnn_unary(cnn_tensor **out, cnn_unary_op op, const cnn_tensor *a);
CNN_API cnn_status cnn_clip(cnn_tensor **out, const cnn_tensor *a, double low, double high);

/* Over the axes in the bit mask `axes` (0 means all). sum of integers is int32 (saturated), of floats float32;
 * mean, std, var (population) float32; argmax and argmin int32, over one axis or, flat, over all.
 * Sums run in a fixed order in double or pairwise, whatever the number of threads. */
typedef enum cnn_reduce_op {
    CNN_SUM,
    CNN_MEAN,
    CNN_MAX,
    CNN_MIN,
    CNN_PROD,
    CNN_STD,
    CNN_VAR,
    CNN_ARGMAX,
    CNN_ARGMIN
} cnn_reduce_op;
CNN_API cnn_status cnn_reduce(cnn_tensor **out, cnn_reduce_op op, const cnn_tensor *a, unsigned axes,
                              bool keepdims);

/* [m,k]·[k,n] → [m,n]; vectors take part as in NumPy; leading axes broadcast. float32 only. */
CNN_API cnn_status cnn_matmul(cnn_tensor **out, const cnn_tensor *a, const cnn_tensor *b);
/* True when shapes are equal and |a-b| ≤ atol + rtol·|b| everywhere. */
CNN_API cnn_status cnn_allclose(bool *out, const cnn_tensor *a, const cnn_tensor *b, double rtol,
                                double atol);

/* Text as NumPy prints it: nested brackets, aligned columns, the middle of long axes elided. The caller frees
 * with free(). */
CNN_API cnn_status cnn_tensor_format(char **out, const cnn_tensor *a);

/* ---- random numbers ---------------------------------------------------------------------------------- */

/* A counter-based generator (Philox 4x32-10): position i of stream `key` is a pure function of both. */
typedef struct cnn_random {
    uint64_t key;
    uint64_t counter;
} cnn_random;

CNN_API cnn_random *cnn_default_random(void); /* of this thread, if it was given one of its own: in workers */
/* A generator of its own, independent of all others split from the same parent. */
CNN_API cnn_random cnn_random_split(cnn_random *parent);
/* NULL as generator means the default one. */
CNN_API void cnn_random_uniform(cnn_random *random, float *out, int64_t count, float low,
                                float high); /* [low, high) */
CNN_API void cnn_random_normal(cnn_random *random, float *out, int64_t count, float mean, float stddev);
/* Normal, redrawn beyond two standard deviations. */
CNN_API void cnn_random_truncated_normal(cnn_random *random, float *out, int64_t count, float mean,
                                         float stddev);
CNN_API void cnn_random_integers(cnn_random *random, int32_t *out, int64_t count, int32_t low, int32_t high);
CNN_API void cnn_random_bernoulli(cnn_random *random, uint8_t *out, int64_t count, float probability);
CNN_API void cnn_random_permutation(cnn_random *random, int32_t *out, int32_t count);

/* ---- ops --------------------------------------------------------------------------------------------- */

/* Applies a differentiable operation, by name and JSON attributes: cnn_apply(&y, "conv2d", "{\"strides\": 2}",
 * inputs, 2). On tensors it runs at once, and is recorded where a tape is open; on symbolic tensors it
 * extends their graph. cnn_op_names lists the operations, NULL-terminated. */
CNN_API cnn_status cnn_apply(cnn_tensor **out, const char *op, const char *attributes,
                             cnn_tensor *const *inputs, int count);
CNN_API const char *const *cnn_op_names(void);

/* A gradient tape records what is applied to tensors that it follows while it is open: trainable variables unless
 * watch_variables is false, watched tensors, and all that is made of them. Tapes of one thread nest; the one opened
 * last is stopped first or later, as you like. */
typedef struct cnn_tape cnn_tape;
CNN_API cnn_status cnn_tape_new(cnn_tape **out, bool persistent, bool watch_variables);
CNN_API cnn_status cnn_tape_watch(cnn_tape *tape, cnn_tensor *tensor); /* float32 */
CNN_API void cnn_tape_stop(cnn_tape *tape);                            /* records no more */
/* The gradients of Σ target·output_gradient (NULL: all 1) with respect to the sources: new references, NULL where
 * target does not depend on a source. Once, unless the tape is persistent. */
CNN_API cnn_status cnn_tape_gradient(cnn_tape *tape, cnn_tensor *target, cnn_tensor *const *sources,
                                     int count, const cnn_tensor *output_gradient, cnn_tensor **out);
CNN_API void cnn_tape_free(cnn_tape *tape);

/* ---- layers ------------------------------------------------------------------------------------------ */

typedef struct cnn_layer cnn_layer;
typedef struct cnn_model cnn_model;

/* A named tensor that training changes. */
typedef struct cnn_variable {
    int refs;
    char *name; /* "kernel", "bias", … */
    cnn_tensor *value;
    bool trainable; /* by itself; its layer's flag counts too */
    float l1, l2;   /* regularization: loss += l1·Σ|w| + l2·Σw² */
} cnn_variable;

CNN_API cnn_status cnn_layer_new(cnn_layer **out, const char *class_name, const char *config);
CNN_API cnn_layer *cnn_layer_retain(cnn_layer *layer);
CNN_API void cnn_layer_release(cnn_layer *layer);
CNN_API const char *cnn_layer_name(const cnn_layer *layer);
CNN_API const char *cnn_layer_class_name(const cnn_layer *layer);
CNN_API bool cnn_layer_trainable(const cnn_layer *layer);
CNN_API void cnn_layer_set_trainable(cnn_layer *layer, bool trainable);
/* Creates the layer's variables for inputs of this shape (first size, the batch, is ignored). Calling does it. */
CNN_API cnn_status cnn_layer_build(cnn_layer *layer, int rank, const int64_t *shape);
CNN_API cnn_status cnn_layer_call(cnn_tensor **out, cnn_layer *layer, cnn_tensor *const *inputs, int count,
                                  bool training);
/* A model with several outputs gives as many results. cnn_layer_call gives the first, call_all fills outs with all of
 * them. A layer has 64 at most; the number of a Sequential is 1. */
CNN_API int cnn_layer_output_count(const cnn_layer *layer);
CNN_API cnn_status cnn_layer_call_all(cnn_tensor **outs, cnn_layer *layer, cnn_tensor *const *inputs,
                                      int count, bool training);
/* Variables in Keras's order (trainable first); borrowed. */
CNN_API int cnn_layer_variable_count(const cnn_layer *layer);
CNN_API cnn_variable *cnn_layer_variable(const cnn_layer *layer, int index);
/* Keras's config as JSON text; the caller frees with free(). */
CNN_API cnn_status cnn_layer_config(char **out, const cnn_layer *layer);
/* NULL-terminated names of all layer classes. */
CNN_API const char *const *cnn_layer_names(void);

/* A symbolic tensor of shape [-1, shape…]. */
CNN_API cnn_status cnn_input(cnn_tensor **out, int rank, const int64_t *shape, cnn_dtype dtype,
                             const char *name);

/* ---- models ------------------------------------------------------------------------------------------ */

/* name may be NULL. A model is a layer too: cnn_model_layer borrows it as one. */
CNN_API cnn_status cnn_sequential_new(cnn_model **out, const char *name);
CNN_API cnn_status cnn_functional_new(cnn_model **out, const char *name, cnn_tensor *const *inputs,
                                      int n_inputs, cnn_tensor *const *outputs, int n_outputs);
CNN_API cnn_model *cnn_model_retain(cnn_model *model);
CNN_API void cnn_model_release(cnn_model *model);
CNN_API cnn_layer *cnn_model_as_layer(cnn_model *model);
CNN_API cnn_status cnn_model_add(cnn_model *model, cnn_layer *layer); /* Sequential only; retains the layer */
CNN_API cnn_status cnn_model_pop(cnn_model *model);
/* cnn_layer_new and cnn_model_add in one. */
CNN_API cnn_status cnn_model_add_new(cnn_model *model, const char *class_name, const char *config);
CNN_API cnn_status cnn_model_build(cnn_model *model, int rank, const int64_t *shape);
CNN_API int cnn_model_layer_count(const cnn_model *model);
CNN_API cnn_layer *cnn_model_layer(const cnn_model *model, int index); /* borrowed */
CNN_API cnn_status cnn_model_get_layer(cnn_layer **borrowed, const cnn_model *model, const char *name);
CNN_API int64_t cnn_model_count_params(const cnn_model *model);
/* Keras's summary; the caller frees with free(). line_length 0 means Keras's default; show_trainable adds a column. */
CNN_API cnn_status cnn_model_summary(char **out, const cnn_model *model, int line_length,
                                     bool show_trainable);

/* {"optimizer": "adam" | {"class_name": "Adam", "config": {…}}, "loss": …, "metrics": ["accuracy", …],
 *  "loss_weights": […]}
 * Of a model with several outputs, what is given once is for all of them. "loss" may also be a list, one for each, or
 * an object by the names of the output layers; "loss_weights" (1 where not given) is either; "metrics" may be a list
 * of lists, or an object. Training minimizes Σ weight·loss + regularization. */
CNN_API cnn_status cnn_model_compile(cnn_model *model, const char *config);

/* Tensors in the order of a model's inputs or outputs; borrowed. */
typedef struct cnn_tensor_list {
    cnn_tensor *const *items;
    int count;
} cnn_tensor_list;

/* What fit, evaluate and predict take. Zero-initialise, then set; 0 and NULL mean Keras's default. */
typedef struct cnn_fit_options {
    cnn_tensor *x, *y;         /* x [n,…]; y [n] or [n,…] */
    cnn_tensor *sample_weight; /* float32 [n], or NULL */
    cnn_tensor *validation_x, *validation_y, *validation_sample_weight;
    /* In their place, of models with several inputs or outputs: one tensor each. Of sample weights, one in all or one
     * for each output, where NULL means none. */
    cnn_tensor_list xs, ys, sample_weights;
    cnn_tensor_list validation_xs, validation_ys, validation_sample_weights;
    /* In place of arrays: elements are batches of inputs, labels (predict needs none) and perhaps sample weights. With
     * steps_per_epoch an epoch goes on in the dataset where the one before it ended, round and round. */
    struct cnn_dataset *dataset, *validation_dataset;
    const float *class_weight; /* by label, class_weight_count of them; for models with one output */
    int class_weight_count;
    double validation_split; /* the last part of x, before shuffling */
    int batch_size;          /* 32 */
    int epochs;              /* 1 */
    int initial_epoch;
    int steps_per_epoch, validation_freq;
    int validation_steps; /* also how many batches evaluate and predict take at most */
    bool no_shuffle;
    int verbose;                     /* 0 silent, 1 bar, 2 a line an epoch */
    FILE *log;                       /* where verbose prints; NULL: nowhere */
    struct cnn_callback **callbacks; /* borrowed */
    int callback_count;
} cnn_fit_options;

typedef struct cnn_history cnn_history; /* by epoch and name: loss, accuracy, val_loss, … */

/* On interruption or a failing callback the model holds the weights reached so far, and *history (if wanted)
 * the epochs completed. */
CNN_API cnn_status cnn_model_fit(cnn_model *model, const cnn_fit_options *options, cnn_history **history);
/* values[0] is the loss, then of several outputs the loss of each, without its weight, then the metrics in order; names
 * from cnn_model_metric_name: as in Keras 2, loss and accuracy; of several outputs loss, digit_loss, odd_loss,
 * digit_accuracy, by the names of the output layers. */
CNN_API cnn_status cnn_model_evaluate(cnn_model *model, const cnn_fit_options *options, double *values,
                                      int capacity);
CNN_API cnn_status cnn_model_predict(cnn_tensor **out, cnn_model *model, const cnn_fit_options *options);
/* Of several outputs, predict gives the first; predict_all fills outs with one for each. */
CNN_API cnn_status cnn_model_predict_all(cnn_tensor **outs, cnn_model *model, const cnn_fit_options *options);
/* One optimizer step on this batch; values as in evaluate. */
CNN_API cnn_status cnn_model_train_on_batch(cnn_model *model, cnn_tensor *x, cnn_tensor *y,
                                            cnn_tensor *sample_weight, double *values, int capacity);
/* The same on the samples of the options, which may be lists. */
CNN_API cnn_status cnn_model_train_step(cnn_model *model, const cnn_fit_options *samples, double *values,
                                        int capacity);
/* Where time goes: a table of the plan's passes and steps, with what was fused, times, GFLOP/s and their share of what the
 * processor's multiply-adds reach. With labels, of training steps on the first batch_size samples (weights and
 * optimizer are afterwards as before); without, of predictions. The caller frees with free(). */
CNN_API cnn_status cnn_model_profile(char **out, cnn_model *model, const cnn_fit_options *samples);
CNN_API int cnn_model_metric_count(const cnn_model *model); /* with the loss */
CNN_API const char *cnn_model_metric_name(const cnn_model *model, int index);

CNN_API void cnn_history_release(cnn_history *history);
CNN_API int cnn_history_epochs(const cnn_history *history);
CNN_API int cnn_history_count(const cnn_history *history);
CNN_API const char *cnn_history_name(const cnn_history *history, int index);
CNN_API double cnn_history_value(const cnn_history *history, int index, int epoch); /* NaN where absent */
/* How long the training steps took, without validation, and how much of it they waited for a dataset's workers. */
CNN_API double cnn_history_seconds(const cnn_history *history);
CNN_API double cnn_history_waited(const cnn_history *history);
/* Writes the figures as a file, whole or not at all. NAME.csv gets a column a figure, empty where it was not logged;
 * NAME.json {"epoch": […], "history": {"loss": […], …}}, null where it was not logged or is not a number. Epochs count
 * from 1. */
CNN_API cnn_status cnn_history_save(const cnn_history *history, const char *path);

/* ---- callbacks --------------------------------------------------------------------------------------- */

typedef struct cnn_callback cnn_callback;

/* "EarlyStopping", "ReduceLROnPlateau", "CSVLogger", "TerminateOnNaN", "ModelCheckpoint", "BackupAndRestore"; JSON
 * arguments as in Keras. */
CNN_API cnn_status cnn_callback_new(cnn_callback **out, const char *class_name, const char *config);
CNN_API void cnn_callback_release(cnn_callback *callback);

/* ---- files of models ----------------------------------------------------------------------------------- */

/* Makes a layer of a class that libcnn does not know, from the config in the file; CNN_ERROR_ARGUMENT, with a message,
 * if it does not know the class either. */
typedef cnn_status cnn_make_layer(cnn_layer **out, const char *class_name, const char *config, void *data);

/* Zero-initialise, then set. */
typedef struct cnn_load_options {
    bool no_compile; /* leave optimizer, loss and metrics of the file alone */
    cnn_make_layer *make_layer;
    void *make_layer_data;
} cnn_load_options;

/* A model with its weights and, if it is compiled, optimizer, loss, metrics and the optimizer's state. A name that ends
 * in .h5 or .hdf5 gets the HDF5 file of Keras 2, one in .keras the archive of Keras 3. The file appears whole or not at
 * all. */
CNN_API cnn_status cnn_model_save(cnn_model *model, const char *path, bool include_optimizer);
/* What Keras 2.2 to 3 and cnn_model_save wrote; the kind is seen from the content. CNN_ERROR_FORMAT if it is damaged or
 * something else; CNN_ERROR_ARGUMENT, with a list of them, if there are layers that cannot be built. What of compile
 * cannot be taken over leaves the model not compiled, or without the optimizer's state, and is told in *notes (NULL if
 * there is nothing to tell; the caller frees with free(); notes may be NULL). options may be NULL. */
CNN_API cnn_status cnn_model_load(cnn_model **out, const char *path, const cnn_load_options *options,
                                  char **notes);

/* Weights alone. NAME.weights.h5 gets the form of Keras 3, other .h5 and .hdf5 that of Keras 2, .safetensors tensors
 * called "LAYER/VARIABLE". */
CNN_API cnn_status cnn_model_save_weights(cnn_model *model, const char *path);
/* From any of these, or from a whole model's file: in the order of the layers, or by_name of them; layers whose shapes
 * differ are an error, or with skip_mismatch stay as they are. *notes as above: what was skipped. */
CNN_API cnn_status cnn_model_load_weights(cnn_model *model, const char *path, bool by_name,
                                          bool skip_mismatch, char **notes);

/* The architecture alone, as Keras 3's to_json writes it; the caller frees with free(). */
CNN_API cnn_status cnn_model_to_json(char **out, const cnn_model *model);
CNN_API cnn_status cnn_model_from_json(cnn_model **out, const char *json, const cnn_load_options *options);

/* ---- files of tensors ------------------------------------------------------------------------------------ */

typedef struct cnn_named_tensor {
    char *name;
    cnn_tensor *tensor;
} cnn_named_tensor;

/* NumPy's .npy: one tensor. Elements of other types are read as the nearest of ours that holds them (float64 as
 * float32, int64 as int32 where they fit), of either byte order, in C or Fortran order. Objects (pickles) are refused. */
CNN_API cnn_status cnn_npy_save(const char *path, const cnn_tensor *tensor);
CNN_API cnn_status cnn_npy_load(cnn_tensor **out, const char *path);
/* NumPy's .npz: tensors by name. *out is freed with cnn_named_tensors_free. */
CNN_API cnn_status cnn_npz_save(const char *path, const cnn_named_tensor *tensors, int count, bool compress);
CNN_API cnn_status cnn_npz_load(cnn_named_tensor **out, int *count, const char *path);
/* safetensors, as PyTorch users exchange them: float32, bfloat16, int32 and uint8 as they are; float16 and float64 are
 * read as float32, int64 and the like as int32 where they fit. */
CNN_API cnn_status cnn_safetensors_save(const char *path, const cnn_named_tensor *tensors, int count);
CNN_API cnn_status cnn_safetensors_load(cnn_named_tensor **out, int *count, const char *path);
CNN_API void cnn_named_tensors_free(cnn_named_tensor *tensors, int count);

/* ---- data -------------------------------------------------------------------------------------------- */

/* An IDX file, plain or gzip. Types: uint8 as it is; int8, int16, int32 become int32; float, double float32. */
CNN_API cnn_status cnn_idx_load(cnn_tensor **out, const char *path);
CNN_API cnn_status cnn_idx_save(const char *path,
                                const cnn_tensor *tensor); /* gzip if the name ends in .gz */

/* ---- datasets ---------------------------------------------------------------------------------------- */

/* A dataset describes how elements are made; making happens in worker threads while an iterator runs over it. An element
 * is a list of tensors: of what a model is trained with, its inputs, its labels and perhaps sample weights, in this
 * order. Element i of iteration e is a pure function of the dataset, its seeds, e and i, whatever the number of
 * workers. Datasets are immutable but for counting their iterations; making one from others retains them. */
typedef struct cnn_dataset cnn_dataset;

enum { CNN_MAX_PARTS = 16 };
typedef struct cnn_element {
    int count; /* 0: there is none, the iteration is over */
    cnn_tensor *parts[CNN_MAX_PARTS];
    char *name; /* what messages call it: a picture's path, "sample 7", "batch 3 (cat.1.jpg to cat.32.jpg)" */
} cnn_element;
CNN_API void cnn_element_clear(cnn_element *element); /* releases what it holds */

/* Row i of each tensor, which have equally many, is element i: retained, not copied. */
CNN_API cnn_status cnn_dataset_from_tensors(cnn_dataset **out, cnn_tensor *const *tensors, int count);
/* Pictures in folders, one folder a class: float32 [H,W,C] from 0 to 255, and a label. config holds arguments of Keras's
 * image_dataset_from_directory as JSON, but batch_size, which is cnn_dataset_batch's; with "strict": true a file that
 * does not decode is an error, else it is left out with a warning (cnn_on_warning). */
CNN_API cnn_status cnn_dataset_from_directory(cnn_dataset **out, const char *directory, const char *config);
/* Of datasets from a directory, else 0 and NULL: the names of the classes and the paths of the pictures with their
 * labels, before shuffling; borrowed. */
CNN_API int cnn_dataset_class_count(const cnn_dataset *dataset);
CNN_API const char *cnn_dataset_class_name(const cnn_dataset *dataset, int label);
CNN_API int64_t cnn_dataset_file_count(const cnn_dataset *dataset);
CNN_API int64_t
cnn_dataset_found_count(const cnn_dataset *dataset); /* with those that a split left to others */
CNN_API const char *cnn_dataset_file(const cnn_dataset *dataset, int64_t index, int *label);

/* What a map does. Workers call it at the same time, each with what open made for it in its own thread. apply replaces
 * the element's parts, releasing those it drops; random is the element's own generator, and the thread's default one
 * meanwhile. A long apply must give up, with any error, soon after *cancelled. open, close and free may be NULL. */
typedef struct cnn_mapper {
    cnn_status (*open)(void **worker, void *data, const bool *cancelled);
    cnn_status (*apply)(void *worker, void *data, cnn_element *element, cnn_random *random);
    void (*close)(void *worker);
    void (*free)(void *data); /* with the dataset */
} cnn_mapper;
/* data is taken over, also on errors. */
CNN_API cnn_status cnn_dataset_map(cnn_dataset **out, cnn_dataset *dataset, const cnn_mapper *mapper,
                                   void *data);

/* Rows in batches, the last one smaller unless it is dropped. */
CNN_API cnn_status cnn_dataset_batch(cnn_dataset **out, cnn_dataset *dataset, int64_t size,
                                     bool drop_remainder);
/* Each element is drawn from the next buffer_size (0: all) of those that are left. seed NULL: one is drawn from the
 * default generator. reshuffle: in another order each iteration. */
CNN_API cnn_status cnn_dataset_shuffle(cnn_dataset **out, cnn_dataset *dataset, int64_t buffer_size,
                                       const uint64_t *seed, bool reshuffle);
CNN_API cnn_status cnn_dataset_repeat(cnn_dataset **out, cnn_dataset *dataset,
                                      int64_t count); /* -1: for ever */
CNN_API cnn_status cnn_dataset_take(cnn_dataset **out, cnn_dataset *dataset, int64_t count); /* -1: all */
CNN_API cnn_status cnn_dataset_skip(cnn_dataset **out, cnn_dataset *dataset, int64_t count);
/* Keeps the elements of the first iteration in memory. */
CNN_API cnn_status cnn_dataset_cache(cnn_dataset **out, cnn_dataset *dataset);
/* How many elements iterators make ahead; 0 or not given: a few more than there are workers. */
CNN_API cnn_status cnn_dataset_prefetch(cnn_dataset **out, cnn_dataset *dataset, int64_t count);

CNN_API cnn_dataset *cnn_dataset_retain(cnn_dataset *dataset);
CNN_API void cnn_dataset_release(cnn_dataset *dataset);
/* How many elements an iteration has at most (fewer where pictures do not decode); -1: no end. */
CNN_API int64_t cnn_dataset_cardinality(const cnn_dataset *dataset);

/* Zero-initialise, then set. */
typedef struct cnn_iterator_options {
    int workers;        /* 0: cnn_threads() */
    bool numbered;      /* run iterations `iteration`, `iteration` + 1, …; else those the dataset counts */
    int64_t iteration;  /* from 0 */
    int64_t position;   /* of the first element of the first iteration */
    int64_t iterations; /* how many to run; 0: one */
} cnn_iterator_options;

/* Runs over a dataset: its threads make elements ahead, also those of the next iteration. To be used by one thread. */
typedef struct cnn_iterator cnn_iterator;
CNN_API cnn_status cnn_iterator_new(cnn_iterator **out, cnn_dataset *dataset,
                                    const cnn_iterator_options *options);
/* The next element, to be cleared by the caller; once between iterations and at the end for ever, one of 0 parts. The
 * error of a worker comes when it is the turn of the element it was making, and ends the run. Waiting is interrupted
 * by cnn_interrupt. */
CNN_API cnn_status cnn_iterator_next(cnn_iterator *iterator, cnn_element *element);
/* Seconds that cnn_iterator_next has waited for workers. */
CNN_API double cnn_iterator_waited(const cnn_iterator *iterator);
CNN_API void cnn_iterator_free(cnn_iterator *iterator); /* stops the workers; may be NULL */

/* ---- pictures ---------------------------------------------------------------------------------------- */

/* A picture is uint8 (0 to 255) or float32, [H,W] or [H,W,C]; several of one size are [N,H,W,C]. Functions
 * that take `images` take either and keep dtype and batch axis unless they say otherwise. */

/* Reads JPEG, PNG, BMP, GIF (its first frame), PGM or PPM as uint8 [H,W,C]; 16-bit samples become 8-bit.
 * channels: 1, 3 or 4 converts (grey by the weights of ITU-R 601), 0 leaves what the file has. Files of more
 * than 2^28 pixels are refused before they are decoded. */
CNN_API cnn_status cnn_image_load(cnn_tensor **out, const char *path, int channels);
/* Writes one picture as PNG, JPEG or BMP, by the name's ending; the file appears whole or not at all. float32
 * goes from 0 (black) to 1 (white), and values beyond are an error, unless scale is set: then the smallest
 * value becomes black and the largest white, of uint8 too. quality: of JPEG, 1 to 100. */
CNN_API cnn_status cnn_image_save(const char *path, const cnn_tensor *image, bool scale, int quality);

typedef enum cnn_interpolation { CNN_NEAREST, CNN_BILINEAR, CNN_BICUBIC, CNN_AREA } cnn_interpolation;
/* As tf.image.resize: half-pixel centres, Keys's cubic, weights beyond the border left out. antialias widens
 * the bilinear and bicubic filters when sizes shrink. uint8 is rounded and saturated. */
CNN_API cnn_status cnn_image_resize(cnn_tensor **out, const cnn_tensor *images, int64_t height, int64_t width,
                                    cnn_interpolation method, bool antialias);

/* [H,W,3] → [H,W,1]: 0.2989 red + 0.587 green + 0.114 blue. */
CNN_API cnn_status cnn_image_to_grayscale(cnn_tensor **out, const cnn_tensor *images);
/* 1 to 4 channels → 3: grey is repeated, alpha dropped. */
CNN_API cnn_status cnn_image_to_rgb(cnn_tensor **out, const cnn_tensor *images);
/* float32, each picture by itself: smallest value 0 and largest 1, or (standard) mean 0 and deviation 1. */
CNN_API cnn_status cnn_image_normalize(cnn_tensor **out, const cnn_tensor *images, bool standard);

typedef enum cnn_grid_kind {
    CNN_GRID_AUTO,     /* pictures if there are four axes and the last is 1, 3 or 4; else maps */
    CNN_GRID_PICTURES, /* [N,H,W,C] */
    CNN_GRID_MAPS,     /* [H,W,K] or [N,H,W,K]: each channel a grey tile */
    CNN_GRID_KERNELS   /* [kh,kw,C,K]: each kernel a tile in colour if C is 3, else a row of C grey ones */
} cnn_grid_kind;

typedef struct cnn_grid_options {
    cnn_grid_kind kind;
    int64_t columns;   /* 0: as nearly square as can be, or one row for each sample or kernel */
    int64_t padding;   /* pixels between tiles and around them */
    int64_t zoom;      /* each pixel of a tile becomes zoom×zoom; 0 means 1 */
    double background; /* 0 black to 1 white */
    int normalize;     /* each tile from 0 to 1: 1 yes, -1 no, 0: maps and kernels only */
} cnn_grid_options;

/* Tiles in rows and columns as one picture [H,W,C]; float32 where tiles are normalized. */
CNN_API cnn_status cnn_image_grid(cnn_tensor **out, const cnn_tensor *images,
                                  const cnn_grid_options *options);

/* ---- augmentation ------------------------------------------------------------------------------------ */

/* What lies beyond a picture's border at a|bcd|: constant kk|abcd|kk, nearest aa|abcd|dd, reflect ba|abcd|dc, wrap
 * cd|abcd|ab. */
typedef enum cnn_fill { CNN_FILL_CONSTANT, CNN_FILL_NEAREST, CNN_FILL_REFLECT, CNN_FILL_WRAP } cnn_fill;

typedef struct cnn_warp_options {
    cnn_interpolation method; /* CNN_NEAREST or CNN_BILINEAR */
    cnn_fill fill;
    double value; /* of CNN_FILL_CONSTANT, in the pictures' units */
} cnn_warp_options;

/* Which point of the input is seen at a pixel of the output: input (x, y) = (xx·x + xy·y + x0, yx·x + yy·y + y0), where x
 * counts columns and y rows, and the centre of the first pixel is (0, 0). */
typedef struct cnn_affine {
    double xx, xy, x0, yx, yy, y0;
} cnn_affine;

/* Each picture sampled through its transform (count: as many as there are pictures, or one for all). The output has
 * the input's size, or height × width if they are not 0. uint8 is rounded. */
CNN_API cnn_status cnn_image_warp(cnn_tensor **out, const cnn_tensor *images, const cnn_affine *transforms,
                                  int64_t count, int64_t height, int64_t width,
                                  const cnn_warp_options *options);

/* A list of random changes to pictures; immutable. steps is JSON: [{"class_name": "rotate", "config": {…}}, …];
 * cnn_augment_names lists the classes, NULL-terminated. Neighbouring geometric steps are merged into one warp, whose fill
 * and interpolation are those of the last step that sets them. uint8 pictures stay uint8, rounded and saturated, except
 * that "rescale" and "normalize" give float32. */
typedef struct cnn_augment cnn_augment;
CNN_API cnn_status cnn_augment_new(cnn_augment **out, const char *steps);
CNN_API cnn_augment *cnn_augment_retain(cnn_augment *augment);
CNN_API void cnn_augment_release(cnn_augment *augment);
CNN_API const char *const *cnn_augment_names(void);
/* images: one [H,W,C] or several [N,H,W,C]; each gets its own changes. labels: NULL, or float32 [N,K] (one-hot) for steps
 * that mix pictures with their labels, which fail without; then *out_labels is set. random NULL: the default one. */
CNN_API cnn_status cnn_augment_apply(cnn_tensor **out, cnn_tensor **out_labels, const cnn_augment *augment,
                                     const cnn_tensor *images, const cnn_tensor *labels, cnn_random *random);

#ifdef __cplusplus
}
#endif
#endif
