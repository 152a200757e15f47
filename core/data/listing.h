/* What picture files lie under a folder. */
#ifndef CNN_DATA_LISTING_H
#define CNN_DATA_LISTING_H

#include "cnn.h"

typedef struct cnn_picture {
    size_t path; /* where in the listing's text */
    int32_t label;
    int broken; /* it was found not to decode */
} cnn_picture;

/* Zero-initialised it is empty. */
typedef struct cnn_listing {
    char *text; /* paths, one after the other */
    size_t length, text_capacity;
    cnn_picture *pictures;
    size_t count, capacity;
} cnn_listing;

/* The names whose files are taken for pictures, for messages. */
#define CNN_PICTURE_ENDINGS ".jpg, .jpeg, .png, .bmp, .gif, .pgm, .ppm, .pnm"

/* Adds the pictures in a folder and in those under it: folders sorted by their paths, the files of each by name.
 * Links to files are files; folders behind links are entered if follow_links is set, but none twice. */
cnn_status cnn_list_pictures(cnn_listing *listing, const char *folder, int label, bool follow_links);

/* Adds the folders in a folder, sorted, as if they were pictures; but those whose names begin with a dot. */
cnn_status cnn_list_folders(cnn_listing *listing, const char *folder);

const char *cnn_listing_path(const cnn_listing *listing, const cnn_picture *picture);
void cnn_listing_free(cnn_listing *listing);

#endif
