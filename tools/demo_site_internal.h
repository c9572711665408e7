/* tools/demo_site_internal.h - what demo_site.c (reading) and demo_site_make.c (making) agree on.
 */
#ifndef MR_TOOLS_DEMO_SITE_INTERNAL_H
#define MR_TOOLS_DEMO_SITE_INTERNAL_H

#define MR_SITE_PATTERN "/millrace-demo.bin" /* the large file */
#define MR_SITE_SEED    7                    /* of its content */

#endif /* MR_TOOLS_DEMO_SITE_INTERNAL_H */
