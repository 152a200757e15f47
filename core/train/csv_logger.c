/* CSVLogger, as in Keras 3 (keras.src.callbacks.csv_logger): a line of figures for each epoch, counted from
 * 0.
 *
 * The file is complete after every epoch. Its columns are those of the first epoch's logs, in their order, or
 * those of the header found where lines are appended; a figure that an epoch lacks is written nan. */
#include "train/monitor.h"
#include "base/status.h"
#include "base/text.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct csv_logger {
    cnn_callback head;
    char *filename, *separator;
    bool append;
    /* state */
    FILE *file;
    char *header; /* the columns' names as in the file, malloc'ed; NULL: not known yet */
} csv_logger;

static cnn_status write_error(csv_logger *c, int error) {
    if (c->file) fclose(c->file);
    c->file = NULL;
    return cnn_fail(CNN_ERROR_IO, "CSVLogger: cannot write %s: %s", c->filename,
                    strerror(error ? error : EIO));
}

/* The first line of the file that is there, without its end; and whether the last one has its end. */
static cnn_status read_header(csv_logger *c, bool *ended) {
    *ended = true;
    FILE *old = fopen(c->filename, "rb");
    if (!old) return errno == ENOENT ? CNN_OK : write_error(c, errno);
    size_t capacity = 0;
    ssize_t length = getline(&c->header, &capacity, old);
    if (length > 0) {
        c->header[strcspn(c->header, "\r\n")] = '\0';
        *ended = fseek(old, -1, SEEK_END) != 0 || fgetc(old) == '\n';
    }
    if (length <= 0 || !*c->header) {
        free(c->header);
        c->header = NULL;
    }
    fclose(old);
    return CNN_OK;
}

static cnn_status begin(csv_logger *c) {
    bool ended = true;
    if (c->file) fclose(c->file);
    c->file = NULL;
    free(c->header);
    c->header = NULL;
    if (c->append) CNN_TRY(read_header(c, &ended));
    c->file = fopen(c->filename, c->append ? "ab" : "wb");
    if (!c->file) return write_error(c, errno);
    if (!ended) fputc('\n', c->file);
    return CNN_OK;
}

static cnn_status make_header(csv_logger *c, const cnn_logs *logs) {
    cnn_text text = {0};
    cnn_text_add(&text, "epoch");
    for (int i = 0; logs && i < logs->count; i++) cnn_text_add(&text, "%s%s", c->separator, logs->names[i]);
    c->header = cnn_text_take(&text);
    return c->header ? CNN_OK : cnn_fail_memory(64);
}

/* The shortest of the usual forms that reads back as the same number. */
static void write_number(FILE *file, double value) {
    char text[32];
    for (int digits = 9; digits <= 17; digits += 4) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    fputs(isnan(value) ? "nan" : text, file);
}

/* The column whose name is the `length` characters at name. */
static void write_column(csv_logger *c, const char *name, size_t length, int epoch, const cnn_logs *logs) {
    if (length == 5 && memcmp(name, "epoch", 5) == 0) {
        fprintf(c->file, "%d", epoch);
        return;
    }
    for (int i = 0; logs && i < logs->count; i++)
        if (strlen(logs->names[i]) == length && memcmp(logs->names[i], name, length) == 0) {
            write_number(c->file, logs->values[i]);
            return;
        }
    fputs("nan", c->file);
}

static cnn_status end_epoch(csv_logger *c, int epoch, const cnn_logs *logs) {
    if (!c->file) return CNN_OK;
    if (!c->header) {
        CNN_TRY(make_header(c, logs));
        fprintf(c->file, "%s\n", c->header);
    }
    for (const char *name = c->header;;) {
        const char *next = strstr(name, c->separator);
        write_column(c, name, next ? (size_t)(next - name) : strlen(name), epoch, logs);
        if (!next) break;
        fputs(c->separator, c->file);
        name = next + strlen(c->separator);
    }
    fputc('\n', c->file);
    errno = 0;
    return fflush(c->file) != 0 || ferror(c->file) ? write_error(c, errno) : CNN_OK;
}

static cnn_status end(csv_logger *c) {
    FILE *file = c->file;
    c->file = NULL;
    return file && fclose(file) != 0 ? write_error(c, errno) : CNN_OK;
}

static cnn_status on(cnn_callback *callback, cnn_event event, int index, cnn_logs *logs) {
    csv_logger *c = (csv_logger *)callback;
    if (event == CNN_TRAIN_BEGIN) return begin(c);
    if (event == CNN_EPOCH_END) return end_epoch(c, index, logs);
    if (event == CNN_TRAIN_END) return end(c);
    return CNN_OK;
}

static cnn_status check(const cnn_callback *callback) {
    const csv_logger *c = (const csv_logger *)callback;
    if (!c->filename || !*c->filename)
        return cnn_fail(CNN_ERROR_ARGUMENT, "CSVLogger: 'filename' must be the name of a file");
    if (!c->separator || !*c->separator)
        return cnn_fail(CNN_ERROR_ARGUMENT, "CSVLogger: 'separator' must not be empty");
    return CNN_OK;
}

static void close_callback(cnn_callback *callback) {
    csv_logger *c = (csv_logger *)callback;
    if (c->file) fclose(c->file);
    free(c->header);
}

static const cnn_param params[] = {
    CNN_PARAM(STRING, csv_logger, filename, NULL, .help = "file to write"),
    CNN_PARAM(STRING, csv_logger, separator, "\",\"", .help = "what stands between columns"),
    CNN_PARAM(BOOL, csv_logger, append, "false",
              .help = "go on with the file that is there instead of overwriting it"),
    {0}};

extern const cnn_callback_class cnn_callback_csv_logger;
const cnn_callback_class cnn_callback_csv_logger = {
    .class = CNN_CLASS("callback", "CSVLogger", NULL, csv_logger, params,
                       "Writes the figures of each epoch to a file of comma-separated values."),
    .check = check,
    .on = on,
    .close = close_callback};
