/* Samples as fit, evaluate and predict take them: checked against the model, and laid out as batches for the plan - in
 * place where rows lie so already, else gathered into memory that is kept for the next batch. */
#ifndef CNN_TRAIN_SAMPLES_H
#define CNN_TRAIN_SAMPLES_H

#include "train/trainer.h"

/* Samples [first, first+count) of the arrays, in the order of `order` if there is one. */
typedef struct cnn_samples {
    cnn_tensor_list x, y;   /* of each input and output */
    cnn_tensor_list weight; /* of each output, or one for all; NULL or an empty list: all 1 */
    int64_t first, count;
    const int32_t *order;      /* positions relative to first, or NULL */
    const float *class_weight; /* by label, class_weight_count of them, or NULL */
    int class_weight_count;
} cnn_samples;

/* The arrays of the options, whole. */
cnn_samples cnn_samples_given(const cnn_fit_options *options);
cnn_samples cnn_samples_for_validation(const cnn_fit_options *options);

/* Errors in the name of who: of x alone, which builds the model if it is not built; and with labels. */
cnn_status cnn_samples_check_x(cnn_model *model, const char *who, cnn_tensor_list x);
cnn_status cnn_samples_check(cnn_model *model, const char *who, const cnn_samples *samples);

/* Where rows are gathered; zero-initialise. */
typedef struct cnn_block {
    char *bytes;
    size_t size;
} cnn_block;
typedef struct cnn_batch_memory {
    cnn_block x[CNN_MAX_INPUTS], y[CNN_MAX_FIGURES], weight[CNN_MAX_FIGURES];
} cnn_batch_memory;
void cnn_batch_memory_free(cnn_batch_memory *memory);

/* Rows from start on, at most `most`. The batch lives as long as arrays and memory are left alone. */
cnn_status cnn_samples_batch(cnn_batch *batch, cnn_batch_memory *memory, const cnn_model *model,
                             const cnn_samples *samples, int64_t start, int64_t most);

#endif
