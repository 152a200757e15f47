/* Learning rates that are functions of the number of steps taken. */
#ifndef CNN_TRAIN_SCHEDULE_H
#define CNN_TRAIN_SCHEDULE_H

#include "base/config.h"

typedef struct cnn_schedule cnn_schedule;

typedef struct cnn_schedule_class {
    cnn_class class;
    cnn_status (*check)(
        const cnn_schedule *schedule); /* what the table of arguments cannot say; may be NULL */
    double (*rate)(const cnn_schedule *schedule, int64_t iterations);
} cnn_schedule_class;

/* The head of every schedule's struct. */
struct cnn_schedule {
    const cnn_class *class; /* a cnn_schedule_class */
    char *name;
};

/* spec: {"class_name": "CosineDecay", "config": {…}}. */
cnn_status cnn_schedule_new(cnn_schedule **out, const cJSON *spec);
void cnn_schedule_free(cnn_schedule *schedule);

/* The rate of the step that follows `iterations` steps. */
double cnn_schedule_rate(const cnn_schedule *schedule, int64_t iterations);

#endif
