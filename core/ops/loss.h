/* Losses: ops of y_pred [N,…] and y_true that give each sample's loss [N]. */
#ifndef CNN_OPS_LOSS_H
#define CNN_OPS_LOSS_H

#include "ops/op.h"

/* The attributes of all losses; each class has those that Keras gives it. */
typedef struct cnn_loss {
    const cnn_class *class;
    bool from_logits;       /* crossentropies: y_pred is before softmax or sigmoid */
    double label_smoothing; /* crossentropies but the sparse one */
    int axis;               /* crossentropies: -1 */
    double delta;           /* Huber */
    int reduction;          /* Keras writes one into every config; here always the mean over samples */
} cnn_loss;

extern const cnn_op cnn_op_categorical_crossentropy, cnn_op_sparse_categorical_crossentropy,
    cnn_op_binary_crossentropy, cnn_op_mean_squared_error, cnn_op_mean_absolute_error, cnn_op_huber;

/* True when a loss of probabilities may, with from_logits, be given the input of the op that makes them:
 * softmax over the last axis before a categorical crossentropy, sigmoid before the binary one. `info` is that
 * op's. */
bool cnn_loss_takes_logits_of(const cnn_op *op, const cnn_loss *loss, const cnn_op *last,
                              const void *attributes, const cnn_op_info *info);

#endif
