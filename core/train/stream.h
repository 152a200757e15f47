/* A dataset's batches as samples, one batch at a time. */
#ifndef CNN_TRAIN_STREAM_H
#define CNN_TRAIN_STREAM_H

#include "train/samples.h"

/* Zero-initialised it is closed. */
typedef struct cnn_stream {
    cnn_iterator *iterator;
    cnn_element
        element; /* the batch at hand, which the samples point into; it stays until the next is asked for */
    bool fresh;  /* it was only looked at */
    cnn_samples batch; /* its class weights are the caller's to set */
} cnn_stream;

/* Begins to run over the dataset and looks at the first batch, which builds the model if it is not built. who: for
 * messages. On errors the stream is closed. */
cnn_status cnn_stream_open(cnn_stream *stream, cnn_model *model, const char *who, cnn_dataset *dataset,
                           const cnn_iterator_options *options);
/* Makes the next batch the one at hand, checked; *more = false between iterations and at the end. */
cnn_status cnn_stream_next(cnn_stream *stream, cnn_model *model, const char *who, bool *more);
void cnn_stream_close(cnn_stream *stream);

#endif
