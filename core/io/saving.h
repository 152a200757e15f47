/* What callbacks that save files have in common: how often, and folders that are not there yet. */
#ifndef CNN_IO_SAVING_H
#define CNN_IO_SAVING_H

#include "base/config.h"

/* The argument save_freq: "epoch", or how many batches lie between two saves. */
cnn_status cnn_save_freq_check(const char *who, const cJSON *save_freq);
/* 0: at the end of epochs. */
int cnn_save_freq_batches(const cJSON *save_freq);

/* Makes the folder, and those above it, unless they are there. */
cnn_status cnn_make_folder(const char *path);
/* The same for the folder that a file of this path lies in. */
cnn_status cnn_make_folder_of(const char *path);

#endif
